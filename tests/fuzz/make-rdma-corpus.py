#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
#
# usage: make-rdma-corpus.py DIR: writes DIR/rdma-target, DIR/rdma-host and
# DIR/rdma-share
#
# The formats are at the top of fuzz-rdma-target.c, fuzz-rdma-host.c and
# fuzz-rdma-share.c.

import os
import struct
import sys


def save(folder, name, data):
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, name), "wb") as f:
        f.write(data)


def sqe(opc, nsid=1, cid=1, dw10=0, dw12=0, fctype=None):
    if fctype is not None:
        nsid = fctype
    return struct.pack("<BBHI32xIIIIII", opc, 0x40, cid, nsid, dw10, 0, dw12,
                       0, 0, 0)


def private(recfmt=0, qid=0, hrq=8, hsq=7, cntlid=0):
    return struct.pack("<HHHHH22x", recfmt, qid, hrq, hsq, cntlid)


def target(folder):
    sgl = struct.pack("<QI3xB", 0, 512, 1)
    write = sqe(1)
    inline = write[:24] + sgl + write[40:]
    enable = struct.pack("<BBHI32xIIQ8x", 0x7f, 0x40, 3, 0, 0, 0x14,
                         0x00460001)
    save(folder, "admin", bytes([3]) + bytes([0, 8]) + enable +
         bytes([0, 8]) + sqe(6, 0, 4, 1) + b"\4\3")
    save(folder, "io", bytes([3 | 1 << 3]) + bytes([0, 0]) + sqe(2) +
         bytes([0, 0]) + sqe(1) + b"\4\3")
    save(folder, "inline", bytes([3]) + bytes([1, 13, 0]) + inline + b"\4")
    save(folder, "invalidate", bytes([3]) + bytes([0, 0x40]) + sqe(2) + b"\4")
    save(folder, "events", bytes([3]) + b"".join(
        bytes([5, i, 0]) + b"\4" for i in range(15)))
    save(folder, "length", bytes([3, 2, 63, 0, 4, 4, 4, 4]))
    save(folder, "pause", bytes([3, 6, 1]) + bytes([0, 0]) + sqe(2) +
         bytes([4, 6, 0, 4, 7, 4, 4]))
    save(folder, "norecv", bytes([7]) + bytes([3, 3, 3, 4]))
    # Where receives are shared: an I/O queue, whose capsules have data.
    save(folder, "shared", bytes([3 | 1 << 3 | 64]) +
         bytes([1, 13, 0]) + inline + bytes([1, 13, 0]) + inline + b"\4\7\4")
    save(folder, "shared-break", bytes([3 | 1 << 3 | 64]) + bytes([6, 1]) +
         bytes([1, 13, 0]) + inline + bytes([7, 4, 6, 0, 4, 4]))
    for i, p in enumerate([private(1), private(0, 99), private(0, 0, 0),
                           private(0, 0, 8, 0), private(0, 0, 8, 65535),
                           private(0, 1, 65535, 127, 1)]):
        save(folder, "private-%d" % i, b"\0" + p + b"\4\4\4\4")


def host(folder):
    rep = struct.pack("<HH28x", 0, 4)
    ok = bytes([2 | 32 << 2]) + rep
    save(folder, "write", ok + bytes([0, 10, 1, 1, 0, 4, 4, 4]))
    save(folder, "read", ok + bytes([0, 255, 4, 1, 1, 0, 4, 4, 4]))
    save(folder, "large", ok + bytes([0, 200, 0, 254, 1, 1, 0, 1, 3, 0, 4]))
    save(folder, "twice", ok + bytes([0, 10, 1, 1, 0, 1, 1, 0, 4, 4]))
    save(folder, "nobody", ok + bytes([1, 0, 9, 4, 4, 4]))
    save(folder, "short", ok + bytes([0, 10, 3, 15, 4, 4, 4]))
    save(folder, "long", ok + bytes([0, 10, 3, 17, 4, 4, 4]))
    save(folder, "raw", ok + bytes([0, 10, 2]) + bytes(range(16)) + b"\4\4")
    save(folder, "events", ok + b"".join(
        bytes([5, i, 0]) + b"\4" for i in range(15)))
    save(folder, "break", ok + bytes([0, 10, 0, 40, 6, 4, 4, 4]))
    save(folder, "recfmt", bytes([32 << 2]) + struct.pack("<HH28x", 1, 4))
    for i in range(10):
        save(folder, "reject-%d" % i,
             bytes([1 | 4 << 2]) + struct.pack("<HH", 0, i) + b"\0")
    save(folder, "reject-short", bytes([1 | 1 << 2, 0, 0]))


def share(folder):
    magic, token = b"leapMEM1", b"\x77" * 16
    # To the owner: what asks, and what it does then.
    save(folder, "owner-reads", bytes([2]) + bytes([1, 0, 0, 0x40] * 3) +
         b"\5")
    save(folder, "owner-writes", bytes([2]) + bytes([1, 0, 1, 0x21, 5, 5, 5]))
    save(folder, "owner-beyond", bytes([2]) + bytes([1, 255, 255, 2, 5, 5, 5]))
    save(folder, "owner-key", bytes([2]) + bytes([2, 1, 5, 5, 5, 5]))
    save(folder, "owner-message", bytes([2]) + bytes([0, 64, 5, 5, 5]))
    save(folder, "owner-break", bytes([2]) + bytes([4, 5, 5, 5]))
    save(folder, "owner-events", bytes([2]) + b"".join(
        bytes([3, i, 0, 5]) for i in range(15)))
    for i, p in enumerate([magic + token, magic + token[:15] + b"x",
                           b"x" + magic[1:] + token, magic, b"",
                           (magic + token)[:23], magic + token + b"more"]):
        save(folder, "owner-private-%d" % i, bytes([len(p) << 2]) + p + b"\5" * 4)

    # To the user: what answers, and what comes then.
    def rep(addr=0x10000, size=65536, key=1, perm=3, m=magic):
        return struct.pack("<8sQQII", m, addr, size, key, perm)

    io = bytes([0, 0, 63, 0, 0, 1, 63, 1])
    save(folder, "user-io", bytes([3]) + io * 2 + b"\6\6\6\6")
    save(folder, "user-break", bytes([3]) + io + b"\5\2" + io + b"\6\6\6")
    save(folder, "user-other", bytes([3]) + io + bytes([5, 1, 32]) +
         rep(size=4096) + io)
    save(folder, "user-rejected", bytes([3]) + io + bytes([5, 0x81, 4]) +
         bytes(4) + b"\2" + io)
    save(folder, "user-message", bytes([3]) + io + bytes([4, 64]) + io)
    save(folder, "user-events", bytes([3]) + b"".join(
        bytes([3, i, 0, 6]) for i in range(15)))
    for i, p in enumerate([rep(), rep(addr=2**64 - 4096), rep(size=0),
                           rep(size=2**64 - 1), rep(perm=0), rep(perm=7),
                           rep(perm=1, key=2**32 - 1), rep(m=b"leapMEM2"),
                           rep()[:31], rep(addr=0, size=2**63), b""]):
        save(folder, "user-answer-%d" % i, bytes([1 | len(p) << 2]) + p + io)


target(os.path.join(sys.argv[1], "rdma-target"))
host(os.path.join(sys.argv[1], "rdma-host"))
share(os.path.join(sys.argv[1], "rdma-share"))
