/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * vdev.h - a virtual NVMe drive for a virtual machine: embed it in a hypervisor
 *
 * A leap_vdev is the PCI function of an NVMe controller whose namespaces are a
 * subsystem of a target: config space, BAR 0 with registers, doorbells and the
 * MSI-X table, interrupts. The hypervisor hands it the guest's accesses and
 * memory and takes interrupts; everything else (queues, admin commands, data)
 * the target's poll groups do in the guest's memory.
 *
 *	guest load/store --> leap_vdev_{config,bar}_{read,write}
 *	guest RAM        --> leap_vdev_mem_add / _mem_del
 *	interrupt        <-- opts.raise, or an eventfd per vector
 *	sleeping         --- leap_pollgroup_fd() of the target's home
 *
 * The vfio-user listener (target.h, "vfio-user:PATH/NQN") is built on these
 * calls and on nothing else.
 *
 * All calls are for the owner of the target's home poll group.
 */
#ifndef LEAPIO_VDEV_H
#define LEAPIO_VDEV_H

#include <leapio/ats.h>
#include <leapio/target.h>

#ifdef __cplusplus
extern "C" {
#endif

struct leap_vdev;

#define LEAP_VDEV_CONFIG_BYTES	4096u
#define LEAP_VDEV_BAR_BYTES	16384u	/* BAR 0: registers 0, doorbells 1000h,
					 * MSI-X table 2000h, PBA 3000h */
#define LEAP_VDEV_MSIX_TABLE	0x2000u
#define LEAP_VDEV_MSIX_PBA	0x3000u

enum leap_vdev_irq {
	LEAP_VDEV_INTX = 0,	/* one; level, see opts.intx */
	LEAP_VDEV_MSIX = 1,	/* nr_vectors; of MSI as well */
};

/* What the guest finds in config space: for hypervisors and drivers that have
 * trouble with MSI-X. */
enum leap_vdev_irqs {
	LEAP_VDEV_HAS_MSIX = 0,	/* MSI-X, and the pin */
	LEAP_VDEV_HAS_MSI = 1,	/* MSI, and the pin */
	LEAP_VDEV_HAS_PIN = 2,	/* the pin alone */
};

struct leap_vdev_opts {
	size_t size;
	/* Message vectors; 0 = max_io_queues + 1; <= 128. Of MSI a power of two
	 * up to 32, rounded up. */
	uint32_t nr_vectors;
	/*
	 * A message vector fires and has no eventfd. Any thread that serves the
	 * target; must not block or call back. NULL = dropped.
	 */
	void (*raise)(void *arg, uint32_t vector);
	/* Level of the INTx pin changed. Thread of the home group. */
	void (*intx)(void *arg, int level);
	void *arg;
	/*
	 * 0: the vdev keeps the MSI-X table that the guest writes to BAR 0,
	 * with masks and pending bits; raise is called for vectors that may
	 * fire, see leap_vdev_msix. 1: the client does (vfio-user). What INTMS
	 * masks, with MSI, is kept by the vdev in any case.
	 */
	uint32_t client_msix;
	const char *hostnqn;	/* whose drive; NULL = derived from a UUID */
	uint8_t hostid[16];	/* zeros = random */
	/* PCI identity; zeros = libleapio's own. */
	uint16_t vendor_id, device_id, subsystem_vendor_id, subsystem_id;
	uint32_t no_shadow;	/* 1: no Doorbell Buffer Config (OACS bit 8) */
	uint32_t irqs;		/* enum leap_vdev_irqs */
};

#define LEAP_VDEV_OPTS_INIT LEAP_OPTS_INIT(struct leap_vdev_opts)

/**
 * leap_vdev_create - a drive that shows the namespaces of @ss
 *
 * Context: owner of home
 * Returns: 0
 * Errors:  -EINVAL, -EBUSY no controller id is free, -ENOMEM
 */
LEAP_API int leap_vdev_create(struct leap_subsystem *ss,
			      const struct leap_vdev_opts *opts,
			      struct leap_vdev **out);

/**
 * leap_vdev_destroy - pull the drive out
 *
 * Also needed after leap_target_destroy, which ends the controller and leaves
 * the drive an empty slot: until then its poll group stays busy.
 * @done: runs once, in poll, when nothing touches the guest's memory any more;
 *        may be NULL
 * Context: owner of home
 */
LEAP_API void leap_vdev_destroy(struct leap_vdev *vdev,
				void (*done)(void *arg), void *arg);

/**
 * leap_vdev_mem_add - the guest has memory here
 *
 * Rings whose memory went away and has come back go on where they were. A
 * runtime in another process has it a little later: leap_vdev_mem_sync.
 * Context: owner of home
 * Returns: 0, or as leap_ats_map
 */
LEAP_API int leap_vdev_mem_add(struct leap_vdev *vdev,
			       const struct leap_ats_range *range);

/**
 * leap_vdev_mem_sync - what was added is known wherever commands are served
 *
 * Before the guest is told of memory, so that the first command that uses it
 * finds it.
 * @done: runs once, perhaps before this returns: 0; -ENOMEM; -ETIMEDOUT a
 *        runtime that still serves has not said so within 2 s
 * Context: owner of home
 */
LEAP_API void leap_vdev_mem_sync(struct leap_vdev *vdev,
				 void (*done)(void *arg, int err), void *arg);

/**
 * leap_vdev_mem_del - and takes it back
 *
 * @done: runs once: 0 = nothing touches the range any more; -ETIMEDOUT = a
 *        runtime that may still do could not be fenced within 2 s: keep the
 *        memory, the controller shows CFS; asking again waits again
 * Context: owner of home
 * Returns: 0, or as leap_ats_unmap; @done does not run then
 */
LEAP_API int leap_vdev_mem_del(struct leap_vdev *vdev, leap_gpa_t gpa,
			       uint64_t bytes, void (*done)(void *arg, int err),
			       void *arg);

/**
 * leap_vdev_config_read - the guest reads config space
 * leap_vdev_config_write - and writes it; while bus mastering is off no trapped
 *                          doorbell takes effect, and all do when it comes on
 * leap_vdev_bar_read - the guest reads BAR 0
 * leap_vdev_bar_write - and writes it: registers, doorbells, MSI-X table
 *
 * Any offset and size: what nothing answers reads as zero, or as all ones
 * beyond the end; bad writes change nothing.
 * Context: owner of home
 */
LEAP_API void leap_vdev_config_read(struct leap_vdev *vdev, uint64_t offset,
				    void *buf, uint32_t bytes);
LEAP_API void leap_vdev_config_write(struct leap_vdev *vdev, uint64_t offset,
				     const void *buf, uint32_t bytes);
LEAP_API void leap_vdev_bar_read(struct leap_vdev *vdev, uint64_t offset,
				 void *buf, uint32_t bytes);
LEAP_API void leap_vdev_bar_write(struct leap_vdev *vdev, uint64_t offset,
				  const void *buf, uint32_t bytes);

/**
 * leap_vdev_reset - function level reset, machine reset
 *
 * @done: as leap_vdev_mem_del; may be NULL. Registers read as reset at once
 * Context: owner of home
 */
LEAP_API void leap_vdev_reset(struct leap_vdev *vdev,
			      void (*done)(void *arg, int err), void *arg);

/**
 * leap_vdev_irq_fd - signal an eventfd instead of calling opts.raise
 *
 * @irq:    enum leap_vdev_irq
 * @vector: 0 for INTx, whose eventfd is written when the level rises
 * @fd:     duplicated; -1 = no more
 * Context: owner of home
 * Returns: 0
 * Errors:  -EINVAL no such vector, -EMFILE
 */
LEAP_API int leap_vdev_irq_fd(struct leap_vdev *vdev, uint32_t irq,
			      uint32_t vector, int fd);

/* leap_vdev_intx_level - is the pin asserted? For UNMASK. Context: owner of
 * home */
LEAP_API int leap_vdev_intx_level(const struct leap_vdev *vdev);

/**
 * leap_vdev_msix - what the guest wrote to the MSI-X table
 *
 * Of MSI: what its one address and data make of @vector.
 * Context: any
 * Returns: 1 masked, 0 not; *@addr and *@data; -EINVAL no such vector
 */
LEAP_API int leap_vdev_msix(const struct leap_vdev *vdev, uint32_t vector,
			    uint64_t *addr, uint32_t *data);

struct leap_vdev_info {
	size_t size;
	uint16_t cntlid;
	uint16_t nr_sqs;	/* I/O queues that exist */
	uint16_t nr_cqs;
	uint16_t reserved;
	uint32_t cc, csts;
	uint32_t nr_vectors;
	uint32_t shadow;	/* 1: shadow doorbells are set up */
	uint64_t doorbells;	/* trapped doorbell writes */
	uint64_t nr_ranges;	/* of memory */
	uint64_t mem_bytes;
	uint64_t commands;	/* I/O, completed, whoever serves the queues */
	uint32_t irqs;		/* enum leap_vdev_irqs */
	uint32_t reserved2;
};

/**
 * leap_vdev_find - the drive that is a controller of @ss
 *
 * @cntlid: as leap_ctrl_next gives it
 * Context: owner of home
 * Returns: NULL when there is no such controller, or it is of a fabric
 */
LEAP_API struct leap_vdev *leap_vdev_find(const struct leap_subsystem *ss,
					  uint16_t cntlid);

/* leap_vdev_info - Context: owner of home. Returns: 0, -EINVAL */
LEAP_API int leap_vdev_info(const struct leap_vdev *vdev,
			    struct leap_vdev_info *info);

/* ---- a look inside ---- */

/* A range of the guest's memory. */
struct leap_vdev_mem_info {
	leap_gpa_t gpa;
	uint64_t bytes;
	uint32_t perm;		/* enum leap_perm */
	uint32_t source;	/* enum leap_ats_source */
};

/* A queue's leap_doorbell (link.h) and its words in the shadow page. */
struct leap_vdev_db_info {
	uint32_t value;		/* trapped last */
	uint32_t wake;		/* not 0: who serves it sleeps */
	uint32_t posted;	/* CQ: entries, mod 2^32 */
	uint32_t has_shadow;	/* 1: the next two are the guest's */
	uint32_t shadow;
	uint32_t eventidx;
};

struct leap_vdev_cq_info {
	uint16_t cqid;		/* 0 = admin */
	uint16_t nr_sqs;
	uint32_t depth;
	leap_gpa_t gpa;
	uint32_t vector;	/* UINT32_MAX = none */
	uint32_t pin;		/* 1: interrupts by the pin */
	struct leap_vdev_db_info db;
	uint32_t head, tail;	/* ring: told by the guest, and filled to */
	/* IOTLB of the queue's view of memory, when this process serves it. */
	uint32_t has_view;
	uint32_t reserved;
	struct leap_ats_stats view;
};

struct leap_vdev_sq_info {
	uint16_t sqid;		/* 0 = admin */
	uint16_t cqid;
	uint32_t depth;
	leap_gpa_t gpa;
	struct leap_vdev_db_info db;
	uint32_t head, tail;	/* ring: fetched to, and rung to; the guest's */
	/* The in-flight record. */
	uint32_t nr_slots;	/* 0: there is none that can be read */
	uint32_t slots[4];	/* by enum leap_record_state */
	uint32_t bad_slots;	/* in no state that a runtime can leave */
	uint64_t fetched;	/* commands, since it was created */
	/* Only when this process serves the queue. */
	uint32_t served;
	uint32_t armed;		/* it sleeps until the doorbell */
	uint32_t stopped;
	uint32_t no_memory;	/* the guest took its ring away */
	uint64_t interrupts;	/* of its CQ */
	uint64_t kicks;		/* doorbells that woke it */
	uint64_t bad_doorbells;	/* values that were ignored */
};

/* A slot that is not free: a command between ring and completion. */
struct leap_vdev_slot_info {
	uint16_t sqid;
	uint16_t tag;		/* index in the record */
	uint32_t state;		/* enum leap_record_state */
	uint64_t seq;		/* of the command in its queue's history */
	uint8_t opcode;
	uint8_t reserved;
	uint16_t cid;
	uint32_t nsid;
	uint64_t slba;		/* command dwords 10 and 11 */
	uint32_t status;	/* completing: of its completion */
	uint32_t reserved2;
	uint64_t note;		/* the leaf's */
};

/*
 * One call for each item, all of them one after the other in poll, done last.
 * Any may be NULL but done. They must not call leap_vdev_*.
 */
struct leap_vdev_inspect_ops {
	size_t size;
	void (*mem)(void *arg, const struct leap_vdev_mem_info *mem);
	void (*cq)(void *arg, const struct leap_vdev_cq_info *cq);
	/* Followed by its slots. */
	void (*sq)(void *arg, const struct leap_vdev_sq_info *sq);
	void (*slot)(void *arg, const struct leap_vdev_slot_info *slot);
	void (*done)(void *arg);
};

#define LEAP_VDEV_INSPECT_OPS_INIT \
	LEAP_OPTS_INIT(struct leap_vdev_inspect_ops)

/**
 * leap_vdev_inspect - memory, IOTLBs, rings, doorbells, commands in flight
 *
 * Rings, doorbells and slots are read where they lie, in state memory, so that
 * they are the same whichever process serves the drive, and stay when it was
 * killed. Nothing stops meanwhile: words of a queue that is busy are each from
 * a moment of their own. Counters that belong to the threads of this process
 * are asked for there.
 * @ops: copied
 * Context: owner of home
 * Returns: 0, and @ops->done runs once, later
 * Errors:  -EINVAL no done, -ENODEV the drive is on its way out, -ENOMEM,
 *          -E2BIG; @ops->done does not run
 */
LEAP_API int leap_vdev_inspect(struct leap_vdev *vdev,
			       const struct leap_vdev_inspect_ops *ops,
			       void *arg);

#ifdef __cplusplus
}
#endif

#endif
