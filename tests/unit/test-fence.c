/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The fence of a process: it is over when the process has exited and the locks
 * of the files that it had are free, whatever became of their names.
 */
#include "unit.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "core/io/fence.h"

struct fx {
	struct leap_pollgroup *pg;
	struct leap__fence f;
	pid_t pid;
	char dir[64], file[96], other[96];
	int fd;			/* who holds the lock */
	int done;
};

static void on_done(struct leap__fence *f)
{
	leap__list_entry(f, struct fx, f)->done++;
}

static int setup(void **state)
{
	struct fx *x = calloc(1, sizeof(*x));
	int pidfd;

	strcpy(x->dir, "/tmp/leap-fence-XXXXXX");
	assert_non_null(mkdtemp(x->dir));
	snprintf(x->file, sizeof(x->file), "%s/disk", x->dir);
	snprintf(x->other, sizeof(x->other), "%s/other", x->dir);
	x->fd = open(x->file, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	assert_true(x->fd >= 0);
	assert_int_equal(flock(x->fd, LOCK_EX | LOCK_NB), 0);
	assert_int_equal(leap_pollgroup_create(NULL, &x->pg), 0);
	leap__fence_init(&x->f, x->pg);
	x->pid = fork();
	assert_true(x->pid >= 0);
	if (!x->pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (;;)
			pause();
	}
	pidfd = (int)syscall(SYS_pidfd_open, x->pid, 0);
	assert_true(pidfd >= 0);
	assert_int_equal(leap__fence_process(&x->f, x->pid, pidfd), 0);
	*state = x;
	return 0;
}

static int teardown(void **state)
{
	struct fx *x = *state;
	int status;

	leap__fence_fini(&x->f);
	kill(x->pid, SIGKILL);
	waitpid(x->pid, &status, 0);
	assert_int_equal(leap_pollgroup_destroy(x->pg), 0);
	if (x->fd >= 0)
		close(x->fd);
	unlink(x->file);
	unlink(x->other);
	rmdir(x->dir);
	free(x);
	return 0;
}

static void poll_for(struct fx *x, int ms)
{
	const struct timespec pause = { .tv_nsec = 1000000 };

	while (ms-- && !x->done) {
		leap_pollgroup_poll(x->pg, 0);
		nanosleep(&pause, NULL);
	}
}

/* Not over while the lock is held, and over soon after. */
static void held(struct fx *x)
{
	leap__fence_start(&x->f, 0, on_done);
	poll_for(x, 100);
	assert_int_equal(x->done, 0);
	assert_int_equal(flock(x->fd, LOCK_UN), 0);
	poll_for(x, 2000);
	assert_int_equal(x->done, 1);
}

static void test_lock(void **state)
{
	struct fx *x = *state;

	assert_int_equal(leap__fence_leaf(&x->f, x->file, 0), 0);
	held(x);
}

/* Its last reads still land in the guest's memory. */
static void test_unlinked(void **state)
{
	struct fx *x = *state;

	assert_int_equal(leap__fence_leaf(&x->f, x->file, 0), 0);
	assert_int_equal(unlink(x->file), 0);
	held(x);
}

static void test_renamed(void **state)
{
	struct fx *x = *state;

	assert_int_equal(leap__fence_leaf(&x->f, x->file, 0), 0);
	assert_int_equal(rename(x->file, x->other), 0);
	held(x);
}

/* Another file has its name, and nobody holds that. */
static void test_replaced(void **state)
{
	struct fx *x = *state;
	int fd = open(x->other, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	assert_int_equal(leap__fence_leaf(&x->f, x->file, 0), 0);
	assert_int_equal(rename(x->other, x->file), 0);
	close(fd);
	held(x);
}

static void test_released(void **state)
{
	struct fx *x = *state;

	/* Two stacks, read-only; one of them is closed. */
	assert_int_equal(leap__fence_leaf(&x->f, x->file, 0), 0);
	assert_int_equal(leap__fence_leaf(&x->f, x->file, 0), 0);
	assert_int_equal(leap__fence_leaf(&x->f, x->file, 1), 0);
	leap__fence_start(&x->f, 0, on_done);
	poll_for(x, 50);
	assert_int_equal(x->done, 0);
	assert_int_equal(leap__fence_leaf(&x->f, x->file, 1), 0);
	poll_for(x, 2000);
	assert_int_equal(x->done, 1);
}

/* What cannot be looked at when the time comes is refused now. */
static void test_refused(void **state)
{
	struct fx *x = *state;

	assert_int_equal(leap__fence_leaf(&x->f, "disk", 0), -EINVAL);
	assert_int_equal(leap__fence_leaf(&x->f, x->other, 0), -ENOENT);
	/* Nothing to release: harmless. */
	assert_int_equal(leap__fence_leaf(&x->f, x->other, 1), 0);
	if (geteuid()) {
		assert_int_equal(fchmod(x->fd, 0), 0);
		assert_int_equal(leap__fence_leaf(&x->f, x->file, 0),
				 -EACCES);
	}
	/* No file whose lock says anything. */
	assert_int_equal(leap__fence_leaf(&x->f, "/dev/null", 0), 0);
	assert_int_equal(mkfifo(x->other, 0600), 0);
	assert_int_equal(leap__fence_leaf(&x->f, x->other, 0), 0);
	leap__fence_start(&x->f, 0, on_done);
	poll_for(x, 2000);
	assert_int_equal(x->done, 1);
}

int main(void)
{
#define T(t) cmocka_unit_test_setup_teardown(t, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_lock), T(test_unlinked), T(test_renamed),
		T(test_replaced), T(test_released), T(test_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
