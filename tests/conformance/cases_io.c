/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Cases for I/O queues. Commands with a range get one matrix, per opcode, of
 * ranges and namespaces that are right and wrong in every way there is.
 */
#include "cases.h"

#include <stddef.h>

#define FUA	LEAP_IO_CDW12_FUA
#define LR	LEAP_IO_CDW12_LR
#define DEAC	LEAP_IO_CDW12_DEAC
#define OK	LEAP_SC_SUCCESS
#define FIELD	LEAP_SC_INVALID_FIELD
#define RANGE	LEAP_SC_LBA_RANGE
#define NONS	LEAP_SC_INVALID_NS
#define PROT	LEAP_SC_NS_WRITE_PROTECTED

#define SPEC_RW	"NVM Command Set 1.0 s3.2"
#define SPEC_NS	"NVMe Base 2.0 s3.2.1 (Namespace Identifiers)"
#define SPEC_MD	"NVMe Base 2.0 s5.17.2.1 (MDTS)"
#define SPEC_FU	"NVMe Base 2.0 s6.2 (Fused Operations)"

/* A range command: payload of @n LBAs of @b bytes each, 0 = none. */
#define IO(nm, sp, op, ns, slba, n, dw12, len, seed, st) \
	{ nm, sp, Q_IO, op, 0, FILL_SEED, ns, \
	  { (uint32_t)(slba), (uint32_t)((uint64_t)(slba) >> 32), \
	    ((n) - 1) | (dw12) }, len, seed, 0, st, 0, 0, 0, NULL }
#define FUSED(nm, op, f, len) \
	{ nm, SPEC_FU, Q_IO, op, f, FILL_SEED, 1, { 0, 0, 0 }, len, 0, 0, \
	  FIELD, 0, 0, 0, NULL }

/*
 * The matrix. @d: 1 when the payload has the LBAs, 0 when there is none. @w:
 * status on the read-only namespace. @big: status of more LBAs than MDTS.
 */
#define MATRIX(T, op, d, w, big) \
	IO(T ": first LBA", SPEC_RW, op, 1, 0, 1, 0, 512 * d, 0, OK), \
	IO(T ": last LBA", SPEC_RW, op, 1, NS1_LBAS - 1, 1, 0, 512 * d, 0, \
	   OK), \
	IO(T ": 8 LBAs", SPEC_RW, op, 1, 1000, 8, 0, 4096 * d, 0, OK), \
	IO(T ": 4096-byte LBA", SPEC_RW, op, 2, 0, 1, 0, 4096 * d, 0, OK), \
	IO(T ": last 4096-byte LBA", SPEC_RW, op, 2, NS2_LBAS - 1, 1, 0, \
	   4096 * d, 0, OK), \
	IO(T ": 16 4096-byte LBAs are MDTS", SPEC_MD, op, 2, 64, 16, 0, \
	   MDTS * d, 0, OK), \
	IO(T ": 128 LBAs are MDTS", SPEC_MD, op, 1, 256, 128, 0, MDTS * d, 0, \
	   OK), \
	IO(T ": one LBA more than MDTS", SPEC_MD, op, 1, 0, 129, 0, \
	   (MDTS + 512) * d, 0, big), \
	IO(T ": 17 4096-byte LBAs", SPEC_MD, op, 2, 0, 17, 0, \
	   (MDTS + 4096) * d, 0, big), \
	IO(T ": begins at the end", SPEC_RW, op, 1, NS1_LBAS, 1, 0, 512 * d, \
	   0, RANGE), \
	IO(T ": reaches over the end", SPEC_RW, op, 1, NS1_LBAS - 1, 2, 0, \
	   1024 * d, 0, RANGE), \
	IO(T ": 4096-byte LBAs end earlier", SPEC_RW, op, 2, NS2_LBAS, 1, 0, \
	   4096 * d, 0, RANGE), \
	IO(T ": over the end in 4096-byte LBAs", SPEC_RW, op, 2, \
	   NS2_LBAS - 3, 4, 0, 16384 * d, 0, RANGE), \
	IO(T ": LBA 2^32", SPEC_RW, op, 1, 1ull << 32, 1, 0, 512 * d, 0, \
	   RANGE), \
	IO(T ": LBA 2^63", SPEC_RW, op, 1, 1ull << 63, 1, 0, 512 * d, 0, \
	   RANGE), \
	IO(T ": LBA 2^64 - 1", SPEC_RW, op, 1, UINT64_MAX, 1, 0, 512 * d, 0, \
	   RANGE), \
	IO(T ": range wraps around 2^64", SPEC_RW, op, 1, UINT64_MAX - 3, 8, \
	   0, 4096 * d, 0, RANGE), \
	IO(T ": NSID 0", SPEC_NS, op, 0, 0, 1, 0, 512 * d, 0, NONS), \
	IO(T ": NSID inactive", SPEC_NS, op, 7, 0, 1, 0, 512 * d, 0, NONS), \
	IO(T ": NSID over NN", SPEC_NS, op, MAX_NSID + 1, 0, 1, 0, 512 * d, \
	   0, NONS), \
	IO(T ": NSID FFFFFFFEh", SPEC_NS, op, 0xfffffffe, 0, 1, 0, 512 * d, \
	   0, NONS), \
	IO(T ": NSID FFFFFFFFh", SPEC_NS, op, 0xffffffff, 0, 1, 0, 512 * d, \
	   0, NONS), \
	IO(T ": read-only namespace", SPEC_RW, op, 3, 0, 1, 0, 512 * d, 0, \
	   w), \
	IO(T ": limited retry", SPEC_RW, op, 1, 2000, 1, LR, 512 * d, 0, OK), \
	FUSED(T ": fused, reserved value", op, 3, 512 * d)

/* Neither half of any fused operation. */
#define NO_FUSED(T, op, d) \
	FUSED(T ": fused, first", op, 1, 512 * d), \
	FUSED(T ": fused, second", op, 2, 512 * d)

/* Halves of Compare and Write, each of which changes what the next one sees. */
#define HALF(nm, op, f, ns, slba, n, dw12, len, seed, st) \
	{ "fused: " nm, SPEC_FU, Q_ONE, op, f, FILL_SEED, ns, \
	  { (uint32_t)(slba), (uint32_t)((uint64_t)(slba) >> 32), \
	    ((n) - 1) | (dw12) }, len, seed, 0, st, 0, 0, 0, NULL }
#define CMP(nm, ns, slba, n, len, seed, st) \
	HALF(nm ", compare", LEAP_NVM_COMPARE, 1 | FUSE_PAIR, ns, slba, n, 0, \
	     len, seed, st)
#define WRT(nm, ns, slba, n, dw12, len, seed, st) \
	HALF(nm ", write", LEAP_NVM_WRITE, 2, ns, slba, n, dw12, len, seed, st)
#define FAILED	LEAP_SC_ABORT_FUSED_FAILED
#define MISSING	LEAP_SC_ABORT_FUSED_MISSING

#define BARE(nm, sp, op, ns, st) \
	{ nm, sp, Q_IO, op, 0, FILL_SEED, ns, { 0 }, 0, 0, 0, st, 0, 0, 0, \
	  NULL }

#define SPEC_OP	"NVMe Base 2.0 s4.2.3.1 (Invalid Command Opcode)"
#define NO_OP(code) \
	BARE("opcode " #code " is not there", SPEC_OP, code, 1, \
	     LEAP_SC_INVALID_OPCODE)

#define SPEC_DSM "NVM Command Set 1.0 s3.2.3 (Dataset Management)"
#define AD	LEAP_DSM_CDW11_AD
#define DSM(nm, ns, nr, attr, what, lba, each, st) \
	{ nm, SPEC_DSM, Q_IO, LEAP_NVM_DSM, 0, what, ns, \
	  { (nr) - 1, attr }, (nr) * 16, lba, each, st, 0, 0, 0, NULL }

#define SPEC_CP	"NVM Command Set 1.0 s3.2.2 (Copy)"
#define SIZE	LEAP_SC_SIZE_LIMIT
/* @n ranges of @each LBAs, one after the other from @from, to @to; @bad: the
 * first that was not copied. */
#define COPY(nm, ns, format, n, to, from, each, what, st, bad) \
	{ "copy: " nm, SPEC_CP, Q_IO, LEAP_NVM_COPY, 0, what, ns, \
	  { (uint32_t)(to), (uint32_t)((uint64_t)(to) >> 32), \
	    ((n) - 1) | (format) << 8 }, (n) * ((format) & 1 ? 40 : 32), \
	  from, each, st, 1, 0, bad, NULL }

#define SPEC_FLUSH "NVMe Base 2.0 s7.1 (Flush)"
#define SPEC_FAB "NVMe Base 2.0 s6 (Fabrics Command Set)"

const struct testcase io_cases[] = {
	/* Zeroes are on the drive, and compare equal. */
	MATRIX("compare", LEAP_NVM_COMPARE, 1, OK, FIELD),
	MATRIX("read", LEAP_NVM_READ, 1, OK, FIELD),
	NO_FUSED("read", LEAP_NVM_READ, 1),
	MATRIX("write", LEAP_NVM_WRITE, 1, PROT, FIELD),
	MATRIX("write zeroes", LEAP_NVM_WRITE_ZEROES, 0, PROT, OK),
	NO_FUSED("write zeroes", LEAP_NVM_WRITE_ZEROES, 0),
	MATRIX("verify", LEAP_NVM_VERIFY, 0, OK, OK),
	NO_FUSED("verify", LEAP_NVM_VERIFY, 0),

	/* What was written is what is read. */
	IO("write a pattern", SPEC_RW, LEAP_NVM_WRITE, 1, 100, 8, 0, 4096, 7,
	   OK),
	IO("read it back", SPEC_RW, LEAP_NVM_READ, 1, 100, 8, 0, 4096, 7, OK),
	IO("compare it", "NVM Command Set 1.0 s3.2.1 (Compare)",
	   LEAP_NVM_COMPARE, 1, 100, 8, 0, 4096, 7, OK),
	IO("compare something else", "NVM Command Set 1.0 s3.2.1 (Compare)",
	   LEAP_NVM_COMPARE, 1, 100, 8, 0, 4096, 8, LEAP_SC_COMPARE_FAILED),
	IO("write with FUA", SPEC_RW, LEAP_NVM_WRITE, 1, 100, 8, FUA, 4096, 9,
	   OK),
	IO("read with FUA", SPEC_RW, LEAP_NVM_READ, 1, 100, 8, FUA, 4096, 9,
	   OK),
	IO("write one LBA of 4096", SPEC_RW, LEAP_NVM_WRITE, 2, 9, 1, 0, 4096,
	   11, OK),
	IO("read one LBA of 4096", SPEC_RW, LEAP_NVM_READ, 2, 9, 1, 0, 4096,
	   11, OK),
	IO("write 64 KiB", SPEC_RW, LEAP_NVM_WRITE, 2, 512, 16, 0, MDTS, 13,
	   OK),
	IO("read 64 KiB", SPEC_RW, LEAP_NVM_READ, 2, 512, 16, 0, MDTS, 13,
	   OK),
	IO("write 8 KiB", SPEC_RW, LEAP_NVM_WRITE, 1, 4096, 16, 0, 8192, 15,
	   OK),
	IO("write 8.5 KiB", SPEC_RW, LEAP_NVM_WRITE, 1, 4096, 17, 0, 8704, 17,
	   OK),
	IO("read 8.5 KiB", SPEC_RW, LEAP_NVM_READ, 1, 4096, 17, 0, 8704, 17,
	   OK),
	IO("write zeroes over it, DEAC", "NVM Command Set 1.0 s3.2.8",
	   LEAP_NVM_WRITE_ZEROES, 1, 4096, 17, DEAC, 0, 0, OK),
	IO("zeroes compare", "NVM Command Set 1.0 s3.2.8", LEAP_NVM_COMPARE,
	   1, 4096, 17, 0, 8704, 0, OK),
	IO("write zeroes with FUA", "NVM Command Set 1.0 s3.2.8",
	   LEAP_NVM_WRITE_ZEROES, 1, 100, 8, FUA, 0, 0, OK),
	IO("zeroes compare again", "NVM Command Set 1.0 s3.2.8",
	   LEAP_NVM_COMPARE, 1, 100, 8, 0, 4096, 0, OK),
	IO("write zeroes on all of 65536 LBAs", "NVM Command Set 1.0 s3.2.8",
	   LEAP_NVM_WRITE_ZEROES, 1, 0, 65536, 0, 0, 0, RANGE),
	IO("write zeroes, whole namespace", "NVM Command Set 1.0 s3.2.8",
	   LEAP_NVM_WRITE_ZEROES, 1, 0, NS1_LBAS, 0, 0, 0, OK),
	IO("verify, whole namespace", "NVM Command Set 1.0 s3.2.5",
	   LEAP_NVM_VERIFY, 1, 0, NS1_LBAS, 0, 0, 0, OK),
	IO("write with a directive", "NVMe Base 2.0 s8.7 (Directives)",
	   LEAP_NVM_WRITE, 1, 0, 1, 1u << 20, 512, 0, FIELD),
	IO("read: payload too short", "NVMe Base 2.0 s4.1.2 (SGL)",
	   LEAP_NVM_READ, 1, 0, 8, 0, 2048, 0, LEAP_SC_SGL_DATA_LEN),
	IO("write: payload too short", "NVMe Base 2.0 s4.1.2 (SGL)",
	   LEAP_NVM_WRITE, 1, 0, 8, 0, 2048, 0, LEAP_SC_SGL_DATA_LEN),
	IO("write: no payload", "NVMe Base 2.0 s4.1.2 (SGL)",
	   LEAP_NVM_WRITE, 1, 0, 8, 0, 0, 0, LEAP_SC_SGL_DATA_LEN),

	DSM("one range", 1, 1, AD, FILL_DSM, 0, 8, OK),
	DSM("256 ranges", 1, 256, AD, FILL_DSM, 0, 64, OK),
	DSM("range of 4096-byte LBAs", 2, 4, AD, FILL_DSM, 0, 16, OK),
	DSM("empty range", 1, 1, AD, FILL_DSM, 0, 0, OK),
	DSM("empty range at the end", 1, 1, AD, FILL_DSM, NS1_LBAS, 0, OK),
	DSM("whole namespace", 1, 1, AD, FILL_DSM, 0, NS1_LBAS, OK),
	DSM("hint only", 1, 1, LEAP_DSM_CDW11_IDR, FILL_DSM, 0, 8, OK),
	DSM("both hints", 1, 2, LEAP_DSM_CDW11_IDR | LEAP_DSM_CDW11_IDW,
	    FILL_DSM, 0, 8, OK),
	DSM("range over the end", 1, 1, AD, FILL_DSM, NS1_LBAS - 1, 2, RANGE),
	DSM("range behind the end", 1, 1, AD, FILL_DSM, NS1_LBAS, 1, RANGE),
	DSM("2^32 - 1 LBAs", 1, 1, AD, FILL_DSM, 0, UINT32_MAX, RANGE),
	DSM("last of many is bad", 1, 16, AD, FILL_DSM_BAD_LAST, 0, 8, RANGE),
	DSM("last of many wraps", 1, 16, AD, FILL_DSM_OVERFLOW, 0, 8, RANGE),
	DSM("bad range without AD", 1, 1, 0, FILL_DSM, NS1_LBAS, 1, RANGE),
	DSM("read-only namespace", 3, 1, AD, FILL_DSM, 0, 8, PROT),
	DSM("hint to a read-only namespace", 3, 1, LEAP_DSM_CDW11_IDR,
	    FILL_DSM, 0, 8, OK),
	DSM("NSID 0", 0, 1, AD, FILL_DSM, 0, 8, NONS),
	DSM("NSID inactive", 9, 1, AD, FILL_DSM, 0, 8, NONS),
	DSM("NSID FFFFFFFFh", 0xffffffff, 1, AD, FILL_DSM, 0, 8, NONS),
	{ "a list shorter than NR says", SPEC_DSM, Q_IO, LEAP_NVM_DSM, 0,
	  FILL_DSM, 1, { 3, AD }, 32, 0, 8, LEAP_SC_SGL_DATA_LEN, 0, 0, 0,
	  NULL },
	IO("deallocated reads as zeroes", SPEC_DSM, LEAP_NVM_COMPARE, 1, 100,
	   8, 0, 4096, 0, OK),

	IO("write what is copied", SPEC_CP, LEAP_NVM_WRITE, 1, 10000, 64, 0,
	   32768, 21, OK),
	COPY("one range", 1, 0, 1, 11000, 10000, 64, FILL_COPY, OK, 0),
	IO("the copy is there", SPEC_CP, LEAP_NVM_READ, 1, 11000, 64, 0, 32768,
	   21, OK),
	COPY("16 ranges", 1, 0, 16, 11100, 10000, 4, FILL_COPY, OK, 0),
	IO("ranges come one after the other", SPEC_CP, LEAP_NVM_READ, 1, 11100,
	   64, 0, 32768, 21, OK),
	COPY("format 1", 1, 1, 8, 11200, 10000, 8, FILL_COPY, OK, 0),
	IO("format 1 copies the same", SPEC_CP, LEAP_NVM_READ, 1, 11200, 64, 0,
	   32768, 21, OK),
	COPY("FUA", 1, (uint32_t)(FUA >> 8), 2, 11300, 10000, 32, FILL_COPY,
	     OK, 0),
	IO("FUA copies the same", SPEC_CP, LEAP_NVM_READ, 1, 11300, 64, 0,
	   32768, 21, OK),
	COPY("128 ranges", 1, 0, 128, 12000, 10000, 1, FILL_COPY, OK, 0),
	COPY("129 ranges are more than MSRC", 1, 0, 129, 12000, 10000, 1,
	     FILL_COPY, SIZE, 0),
	COPY("256 ranges", 1, 0, 256, 12000, 10000, 1, FILL_COPY, SIZE, 0),
	COPY("4096 LBAs are MSSRL", 1, 0, 1, 20000, 0, 4096, FILL_COPY, OK, 0),
	COPY("one LBA more than MSSRL", 1, 0, 1, 20000, 0, 4097, FILL_COPY,
	     SIZE, 0),
	COPY("8192 LBAs are MCL", 1, 0, 2, 20000, 0, 4096, FILL_COPY, OK, 0),
	COPY("more than MCL", 1, 0, 3, 20000, 0, 4000, FILL_COPY, SIZE, 2),
	COPY("65536 LBAs", 1, 0, 1, 0, 0, 65536, FILL_COPY, RANGE, 0),
	COPY("4096-byte LBAs", 2, 0, 4, 100, 512, 4, FILL_COPY, OK, 0),
	IO("4096-byte LBAs are copied", SPEC_CP, LEAP_NVM_READ, 2, 100, 16, 0,
	   MDTS, 13, OK),
	COPY("to the last LBA", 1, 0, 1, NS1_LBAS - 1, 10000, 1, FILL_COPY,
	     OK, 0),
	COPY("from the last LBA", 1, 0, 1, 12000, NS1_LBAS - 1, 1, FILL_COPY,
	     OK, 0),
	COPY("to behind the end", 1, 0, 1, NS1_LBAS, 10000, 1, FILL_COPY,
	     RANGE, 0),
	COPY("to over the end", 1, 0, 2, NS1_LBAS - 15, 10000, 8, FILL_COPY,
	     RANGE, 0),
	COPY("to LBA 2^64 - 1", 1, 0, 1, UINT64_MAX, 10000, 1, FILL_COPY,
	     RANGE, 0),
	COPY("to around 2^64", 1, 0, 1, UINT64_MAX - 3, 10000, 8, FILL_COPY,
	     RANGE, 0),
	COPY("from behind the end", 1, 0, 1, 12000, NS1_LBAS, 1, FILL_COPY,
	     RANGE, 0),
	COPY("from over the end", 1, 0, 1, 12000, NS1_LBAS - 1, 2, FILL_COPY,
	     RANGE, 0),
	COPY("last of many is bad", 1, 0, 16, 12000, 10000, 4,
	     FILL_COPY_BAD_LAST, RANGE, 15),
	COPY("last of many wraps", 1, 1, 16, 12000, 10000, 4,
	     FILL_COPY_OVERFLOW, RANGE, 15),
	COPY("format 2 is of several namespaces", 1, 2, 1, 12000, 10000, 1,
	     FILL_COPY, FIELD, 0),
	COPY("format 3", 1, 3, 1, 12000, 10000, 1, FILL_COPY, FIELD, 0),
	COPY("format 15", 1, 15, 1, 12000, 10000, 1, FILL_COPY, FIELD, 0),
	COPY("a directive", 1, 1u << 12, 1, 12000, 10000, 1, FILL_COPY, FIELD,
	     0),
	COPY("read-only namespace", 3, 0, 1, 12000, 10000, 1, FILL_COPY, PROT,
	     0),
	COPY("NSID 0", 0, 0, 1, 12000, 10000, 1, FILL_COPY, NONS, 0),
	COPY("NSID inactive", 9, 0, 1, 12000, 10000, 1, FILL_COPY, NONS, 0),
	COPY("NSID FFFFFFFFh", 0xffffffff, 0, 1, 12000, 10000, 1, FILL_COPY,
	     NONS, 0),
	{ "copy: a list shorter than NR says", SPEC_CP, Q_IO, LEAP_NVM_COPY, 0,
	  FILL_COPY, 1, { 12000, 0, 3 }, 64, 10000, 1, LEAP_SC_SGL_DATA_LEN, 0,
	  0, 0, NULL },
	FUSED("copy, fused", LEAP_NVM_COPY, 1, 32),

	IO("fused: a block", SPEC_RW, LEAP_NVM_WRITE, 1, 20000, 1, 0, 512, 7,
	   OK),
	CMP("equal", 1, 20000, 1, 512, 7, OK),
	WRT("equal", 1, 20000, 1, 0, 512, 8, OK),
	IO("fused: is written", SPEC_RW, LEAP_NVM_READ, 1, 20000, 1, 0, 512, 8,
	   OK),
	CMP("different", 1, 20000, 1, 512, 7, LEAP_SC_COMPARE_FAILED),
	WRT("different", 1, 20000, 1, 0, 512, 9, FAILED),
	IO("fused: is not written", SPEC_RW, LEAP_NVM_READ, 1, 20000, 1, 0,
	   512, 8, OK),
	CMP("FUA", 1, 20000, 1, 512, 8, OK),
	WRT("FUA", 1, 20000, 1, FUA, 512, 10, OK),
	CMP("4096-byte LBA", 2, NS2_LBAS - 1, 1, 4096, 0, OK),
	WRT("4096-byte LBA", 2, NS2_LBAS - 1, 1, 0, 4096, 0, OK),
	CMP("more than ACWU", 1, 20000, 2, 1024, 0, LEAP_SC_ATOMIC_UNIT),
	WRT("more than ACWU", 1, 20000, 2, 0, 1024, 0, LEAP_SC_ATOMIC_UNIT),
	CMP("other LBA", 1, 20000, 1, 512, 10, FIELD),
	WRT("other LBA", 1, 20001, 1, 0, 512, 11, FIELD),
	CMP("other length", 1, 20000, 1, 512, 10, FIELD),
	WRT("other length", 1, 20000, 2, 0, 1024, 11, FIELD),
	CMP("other namespace", 1, 0, 1, 512, 0, FIELD),
	WRT("other namespace", 2, 0, 1, 0, 4096, 0, FIELD),
	CMP("no write", 1, 20000, 1, 512, 10, FIELD),
	HALF("no write, zeroes", LEAP_NVM_WRITE_ZEROES, 2, 1, 20000, 1, 0, 0,
	     0, FIELD),
	CMP("outside", 1, NS1_LBAS, 1, 512, 0, RANGE),
	WRT("outside", 1, NS1_LBAS, 1, 0, 512, 0, FAILED),
	CMP("inactive namespace", 9, 0, 1, 512, 0, NONS),
	WRT("inactive namespace", 9, 0, 1, 0, 512, 0, FAILED),
	CMP("read-only namespace", 3, 0, 1, 512, 0, FAILED),
	WRT("read-only namespace", 3, 0, 1, 0, 512, 0, PROT),
	CMP("zones", 4, 0, 1, 512, 0, FIELD),
	WRT("zones", 4, 0, 1, 0, 512, 0, FIELD),
	CMP("alone", 1, 20000, 1, 512, 10, MISSING),
	IO("fused: alone, a write", SPEC_RW, LEAP_NVM_WRITE, 1, 20001, 1, 0,
	   512, 12, OK),
	CMP("twice", 1, 20000, 1, 512, 10, MISSING),
	HALF("twice, no compare", LEAP_NVM_READ, 1, 1, 20000, 1, 0, 512, 0,
	     FIELD),
	HALF("write alone", LEAP_NVM_WRITE, 2, 1, 20000, 1, 0, 512, 12,
	     MISSING),
	HALF("write first", LEAP_NVM_WRITE, 1, 1, 20000, 1, 0, 512, 12, FIELD),
	HALF("compare second", LEAP_NVM_COMPARE, 2, 1, 20000, 1, 0, 512, 10,
	     FIELD),
	IO("fused: as it was", SPEC_RW, LEAP_NVM_READ, 1, 20000, 1, 0, 512, 10,
	   OK),

	BARE("flush", SPEC_FLUSH, LEAP_NVM_FLUSH, 1, OK),
	BARE("flush a read-only namespace", SPEC_FLUSH, LEAP_NVM_FLUSH, 3,
	     OK),
	BARE("flush all", SPEC_FLUSH, LEAP_NVM_FLUSH, 0xffffffff, OK),
	BARE("flush NSID 0", SPEC_FLUSH, LEAP_NVM_FLUSH, 0, NONS),
	BARE("flush NSID inactive", SPEC_FLUSH, LEAP_NVM_FLUSH, 5, NONS),
	BARE("flush NSID over NN", SPEC_FLUSH, LEAP_NVM_FLUSH, 65, NONS),
	FUSED("flush, fused", LEAP_NVM_FLUSH, 1, 0),

	NO_OP(0x04), NO_OP(0x0d), NO_OP(0x0e), NO_OP(0x11), NO_OP(0x12),
	NO_OP(0x15), NO_OP(0x18), NO_OP(0x1d), NO_OP(0x79),
	NO_OP(0x7a), NO_OP(0x7d), NO_OP(0x80), NO_OP(0x06), NO_OP(0xc0),
	NO_OP(0xff),

	BARE("Property Set on an I/O queue", SPEC_FAB, LEAP_ADM_FABRICS,
	     LEAP_FCTYPE_PROP_SET, FIELD),
	BARE("Property Get on an I/O queue", SPEC_FAB, LEAP_ADM_FABRICS,
	     LEAP_FCTYPE_PROP_GET, FIELD),
	BARE("unknown fabrics command", SPEC_FAB, LEAP_ADM_FABRICS, 0x44,
	     FIELD),
	{ "Connect twice", SPEC_FAB, Q_IO, LEAP_ADM_FABRICS, 0, FILL_SEED,
	  LEAP_FCTYPE_CONNECT, { 0, 0x1f }, 1024, 0, 0, LEAP_SC_CMD_SEQUENCE,
	  0, 0, 0, NULL },
	{ "Disconnect with a bad record format", SPEC_FAB, Q_IO,
	  LEAP_ADM_FABRICS, 0, FILL_SEED, LEAP_FCTYPE_DISCONNECT, { 1 }, 0, 0,
	  0, LEAP_SC_FAB_FORMAT, 0, 0, 0, NULL },
};

const unsigned int nr_io_cases = sizeof(io_cases) / sizeof(io_cases[0]);
