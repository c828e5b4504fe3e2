/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * net.h - a network of the benchmark's own
 */
#ifndef LEAP_TESTS_BENCH_NET_H
#define LEAP_TESTS_BENCH_NET_H

/*
 * bench_net - move this process to a network namespace with nothing but lo, and
 * with Reno for congestion control
 *
 * BBR, the default of many systems, paces: over lo that makes two or three
 * different rates out of one exchange, for ours and for any floor. Call it
 * before the first thread and socket. What is in force is said on stderr when
 * it is not Reno: not allowed to, or no such thing here.
 */
void bench_net(const char *program);

#endif
