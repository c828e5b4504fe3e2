#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# Writes the seeds of fuzz-ats, fuzz-command, fuzz-device, fuzz-guest, fuzz-lend,
# fuzz-shm-attach, fuzz-link and fuzz-vfio-user:
# make-corpus.py CORPUS-FOLDER
import os
import struct
import sys


def write(kind, name, data):
    folder = os.path.join(sys.argv[1], kind)
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, name), 'wb') as out:
        out.write(bytes(data))


def sqe(opc, nsid=1, length=0, sgl=0x5a, dw10=0, dw11=0, dw12=0, addr=0,
        fctype=None, flags=0x40, dw13=0):
    raw = bytearray(64)
    raw[0], raw[1] = opc, flags
    struct.pack_into('<HI', raw, 2, 1, nsid)
    if fctype is not None:
        raw[4] = fctype
    struct.pack_into('<QI3xB', raw, 24, addr, length, sgl)
    struct.pack_into('<IIII', raw, 40, dw10, dw11, dw12, dw13)
    return bytes(raw)


def command(how, raw, data=b''):
    return bytes([how]) + struct.pack('<H', len(data)) + raw + data


def devices():
    """flags, fault, step, then what the drive answers: 0 is honest."""
    for fault in range(18):
        write('device', 'fault-%d' % fault,
              bytes((fault & 3, fault, 20 + 3 * fault, 0)))
    write('device', 'honest', bytes(4) + bytes(200))
    write('device', 'no-abort', bytes((0x10, 6, 30, 0)))
    write('device', 'sticky', bytes((0x0c, 3, 60, 0)))
    write('device', 'quirk', bytes((0x40, 0, 0, 0)))
    write('device', 'registers', bytes((0, 0, 0, 0)) +
          bytes(b for i in range(60) for b in (230 if i % 9 == 8 else 0, i)))
    write('device', 'completions', bytes((3, 0, 0, 0)) + bytes(80) +
          bytes(200 + i * 7 % 56 if i % 5 == 0 else 0 for i in range(200)))
    write('device', 'identify', bytes((1, 0, 0, 0)) +
          bytes(i * 37 & 255 if i > 30 else 0 for i in range(400)))


def commands():
    write('command', 'identify', b'\x07' + b''.join(
        command(0, sqe(6, nsid, 4096, dw10=cns))
        for cns in (0, 1, 2, 3, 5, 6, 8, 0x1c) for nsid in (0, 1, 9)))
    write('command', 'logs', b'\x07' + b''.join(
        command(0, sqe(2, 0xffffffff, 512, dw10=lid | 127 << 16))
        for lid in (1, 2, 3, 4, 5, 0x70, 0xff)))
    write('command', 'features', b'\x07' + b''.join(
        command(0, sqe(opc, 0, 4096 if fid in (3, 14) else 0, dw10=fid,
                       dw11=0x10001))
        for opc in (9, 10) for fid in (1, 2, 4, 5, 7, 8, 10, 11, 14, 15, 16,
                                       0x80, 0x84)))
    write('command', 'events', b'\x07' + b''.join(
        command(0, sqe(0x0c)) for _ in range(6)) +
        command(0, sqe(8, dw10=1 << 16)) + command(0, sqe(0x18)))
    write('command', 'io', b'\x07' +
          command(1, sqe(1, 1, 1024, 1, dw12=1), bytes(range(256)) * 4) +
          command(1, sqe(2, 1, 1024, dw12=1)) +
          command(1, sqe(5, 1, 1024, 1, dw12=1), bytes(1024)) +
          command(1, sqe(8, 1, dw12=7)) + command(1, sqe(0, 0xffffffff)) +
          command(1, sqe(9, 1, 32, 1, dw10=1, dw11=4),
                  struct.pack('<IIQIIQ', 0, 8, 0, 0, 8, 16)) +
          command(5, sqe(1, 1, 32768, dw12=63)) +
          command(5, sqe(1, 2, 8192, dw12=1)) +
          command(1, sqe(2, 2, 65536, dw12=15)) +
          command(1, sqe(1, 3, 512, 1), bytes(512)))
    # NSID 4 has 8 zones of 64 LBAs of 512 bytes (fuzz-target.h)
    page = bytes(range(256)) * 16
    write('command', 'zones', b'\x07' +
          command(1, sqe(1, 4, 4096, 1, dw12=7), page) +
          command(1, sqe(1, 4, 4096, 1, dw10=8, dw12=7), page) +
          command(5, sqe(1, 4, 16384, dw10=16, dw12=31)) +
          command(1, sqe(1, 4, 512, 1, dw10=48), bytes(512)) +
          command(1, sqe(0x7d, 4, 4096, 1, dw10=64, dw12=7), page) +
          command(5, sqe(0x7d, 4, 16384, dw10=64, dw12=31)) +
          command(1, sqe(0x7d, 4, 512, 1, dw10=65), bytes(512)) +
          command(1, sqe(8, 4, dw10=128, dw12=3)) +
          b''.join(command(1, sqe(0x79, 4, dw10=lba, dw13=action))
                   for lba in (0, 64, 192, 448, 1) for action in range(7)) +
          b''.join(command(1, sqe(0x79, 4, dw13=0x100 | action))
                   for action in (3, 1, 2, 4, 5)))
    write('command', 'zone-reports', b'\x07' +
          b''.join(command(1, sqe(0x7a, nsid, length, dw10=lba,
                                  dw12=length // 4 - 1, dw13=what))
                   for nsid, lba, length, what in (
                       (4, 0, 576, 0), (4, 100, 64, 0), (4, 0, 4096, 0x10000),
                       (4, 511, 128, 0x300), (4, 512, 128, 0), (4, 0, 32, 0),
                       (4, 0, 128, 1), (4, 0, 128, 0x800), (1, 0, 128, 0))) +
          b''.join(command(0, sqe(6, 4, 4096, dw10=cns, dw11=csi << 24))
                   for cns in (5, 6, 7) for csi in (0, 1, 2)) +
          b''.join(command(0, sqe(2, nsid, 4096, dw10=0xbf | 1023 << 16))
                   for nsid in (4, 1, 9, 0xffffffff)))
    # NSID 5: 2 groups of 2 units of 5 chunks of 8 blocks of 4096 bytes
    write('command', 'vectors', b'\x07' +
          b''.join(command(5, sqe(0x91, 5, 4096, 1, dw10=lba), page)
                   for lba in (0, 64, 7, 1 << 31)) +
          b''.join(command(1, sqe(opc, 5, 4096 if opc == 0x92 else 0, dw10=lba,
                                  dw12=nlb))
                   for opc in (0x90, 0x92, 0x93) for lba in (0, 8, 40, 255)
                   for nlb in (0, 3, 64)) +
          b''.join(command(0, sqe(opc, 5, 4096, dw10=lba, dw12=8))
                   for opc in (0xe2, 0xea, 0xf1, 0xf2) for lba in (0, 99)) +
          b''.join(command(0, sqe(2, 5, 64, dw10=lid | 15 << 16, dw12=at))
                   for lid in (0xca, 0xd0) for at in (0, 4, 640, 9999)) +
          command(0, sqe(9, 5, dw10=0xca, dw11=1)) +
          command(0, sqe(10, 5, dw10=0xca)))
    write('command', 'connect', b'\x00' + command(2, bytes(64)) +
          command(3, bytes(64)))
    for at, bit in ((0x28, 1), (0x2a, 1), (0x2c, 0xff), (0x2e, 4), (0x1f, 2)):
        raw = bytearray(64)
        raw[at] = bit
        write('command', 'connect-%02x' % at, b'\x00' + command(2, raw))
    for at in (0, 16, 256, 512):
        data = bytearray(1024)
        data[at] = 0xff
        write('command', 'connect-data-%d' % at,
              b'\x00' + command(2, bytes(64), data))
    props = b''.join(command(0, sqe(0x7f, fctype=4, sgl=0, dw10=size, dw11=at))
                     for size, at in ((1, 0), (0, 8), (0, 0x14), (0, 0x1c),
                                      (1, 0x14)))
    props += command(0, sqe(0x7f, fctype=0, sgl=0, dw11=0x14, dw12=0x464001))
    props += command(0, sqe(0x7f, fctype=0, sgl=0, dw11=0x14, dw12=0))
    props += command(0, sqe(0x7f, fctype=8, sgl=0))
    write('command', 'properties', b'\x07' + props)
    write('command', 'opcodes', b'\x07' + b''.join(
        command(how, sqe(opc, 1, 512, 1), bytes(512))
        for how in (0, 1) for opc in range(0, 256, 5)))


def shm():
    chunk = 4096 + 8 * 64 + 8 * 16
    chunk = (chunk + 4095) // 4096 * 4096 + 8 * 64 * 16
    chunk = (chunk + 4095) // 4096 * 4096
    # MEM_ADD with a sealed and an unsealed memory, twice, region 0
    add = bytes([0, 5, 3, 3, 1, 16, 8, 0, 0])
    bad = bytes([0, 1, 3, 3, 2, 16, 8, 0, 0])
    zero = bytes([0, 5, 3, 3, 0, 16, 8, 0, 0])
    write('shm-attach', 'memory', b'\x03' + add + bad + add + zero)
    write('shm-attach', 'hello', b'\x00' + bytes([0, 1, 1, 0, 0, 64, 8, 0, 0]) +
          bytes([0, 2, 1, 0, 0, 64, 8, 0, 0]))
    write('shm-attach', 'twice', b'\x01' + bytes([0, 1, 1, 0, 0, 255, 8, 0, 0]))
    write('shm-attach', 'part', b'\x01' +
          bytes([0, 0, 5 | 16, 0, 0, 0, 0, 9, 0]))
    write('shm-attach', 'tail', b'\x03' + bytes([3, 9] + [6] * 9))
    write('shm-attach', 'head', b'\x03' + bytes([4, 9] + [6] * 9))
    enable = sqe(0x7f, fctype=0, sgl=0, dw11=0x14, dw12=0x460001)
    identify = sqe(6, 1, 4096, 0, addr=chunk, dw10=0)
    segment = struct.pack('<QI3xBQI3xB', chunk, 2048, 0, chunk + 8192, 2048, 0)
    listed = sqe(6, 1, 32, 0x30, addr=12288, dw10=1)
    outside = sqe(6, 1, 4096, 0, addr=5 << 40, dw10=1)
    ring = (bytes([2, 1]) + enable + bytes([3, 2] + [6] * 9) +
            bytes([2, 2]) + identify + bytes([3, 3] + [6] * 9) +
            bytes([1]) + struct.pack('<H', 12288 // 4) + bytes([32]) +
            segment + bytes([2, 3]) + listed + bytes([2, 4]) + outside +
            bytes([3, 5] + [6] * 9) + bytes([4, 3] + [6] * 9))
    write('shm-attach', 'commands', b'\x03' + ring)
    write('shm-attach', 'indexes', b'\x03' + b''.join(
        bytes([5, i]) + struct.pack('<I', v) + bytes([6])
        for i in range(5) for v in (0xffffffff, 0, 7, 0x10000)) + bytes(9))


def lend():
    pad = [0] * 13
    message = [bytes([0, t, fds, a, b, 0, 0, 0, 0, k, 0, 0, 0])
               for t in range(1, 12) for fds, a, b, k in
               ((0, 0, 0, 0), (1, 0, 16, 0), (1, 4, 64, 2), (5, 0, 16, 3))]
    io = [bytes([2, opc, i, 1, 64, 65, i, 0, 0, 0, 1, i]) + bytes([3, i + 1])
          for i, opc in enumerate((1, 2, 0, 8, 9, 5))]
    admin = [bytes([1, opc, 0, 1, 64, 0, dw10, hi, dw11, 0, 0])
             for opc, dw10, hi, dw11 in
             ((6, 1, 0, 0), (2, 2, 127, 0), (9, 7, 0, 3), (9, 6, 0, 0),
              (10, 7, 0, 0), (0, 1, 0, 0), (4, 1, 0, 0), (5, 2, 7, 1),
              (1, 2, 7, 1), (8, 1, 0, 0), (12, 0, 0, 0), (0x80, 0, 0, 0))]
    end = bytes(pad)
    write('lend', 'messages', b'\x00' + b''.join(message) + end)
    write('lend', 'hello', b'\x01' + b''.join(message[4:]) + end)
    for i in range(3):
        write('lend', 'queue-%d' % i, b'\x03' + b''.join(io) + b'\x07' * i +
              message[4 * (4, 5, 10)[i]] + b'\x07' * 9 + end)
    write('lend', 'admin', b'\x03' + b''.join(admin) + b'\x07' * 9 + end)
    write('lend', 'deleted', b'\x03' + b''.join(io) + admin[5] + admin[6] +
          b'\x07' * 9 + io[0] + end)
    for good in (0, 2, 6, 12, 20, 30):
        write('lend', 'lender-%d' % good, bytes([128 | good]) + bytes(
            [2, 1, 5, 4, 0, 9, 1, 0, 0, 0, 0, 0, 0] * 3) + bytes(
            [1, 2, 1, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0] * 2))


def operation(*args):
    return bytes(args) + bytes(16 - len(args))


def ats():
    full = operation(0, 0, 0, 0, 0, 16, 0, 3)       # 16 KiB at 0
    high = operation(0, 1, 0, 16, 0, 16, 64, 1)     # 16 KiB behind it
    write('ats', 'translate', full + high +
          operation(5, 0, 0, 0, 2, 63, 0, 0) + operation(2, 0) +
          operation(5, 1, 0, 0, 2, 63, 0, 15) + operation(3, 0) +
          operation(2, 1) + operation(3, 1))
    write('ats', 'overlap', full + operation(0, 2, 0, 8, 0, 16, 0, 3) +
          operation(4, 0, 0, 0, 100, 1) + operation(4, 1, 0, 0, 100, 1))
    page = bytearray(4096)
    for i in range(512):
        struct.pack_into('<Q', page, i * 8, (i % 8) * 4096)
    lists = (full + high + operation(5, 0, 2, 0, 16, 63, 0, 0, 0, 0, 4) +
             operation(5, 1, 3, 0, 4, 63, 128, 1, 0, 0, 8) +
             operation(5, 2, 2, 0, 8, 3, 0, 0, 0, 2, 4) + operation(2, 0) +
             operation(3, 0) + operation(3, 1) + operation(3, 2))
    write('ats', 'prp', bytes(page) + lists)
    page = bytearray(4096)
    for i in range(256):
        kind = (0, 0, 0, 0x10, 0, 0x30, 0, 0x20)[i % 8]
        struct.pack_into('<QI3xB', page, i * 16, (i * 52) % 32768 & ~3,
                         64 if kind < 0x20 else 256, kind)
    walks = b''.join(operation(5, i, 4 | (i & 1), 64, 0, 63, 0, 4, 0, 64, 0, 0,
                               kind, flags)
                     for i, (kind, flags) in enumerate(
                         ((0x20, 7), (0x30, 7), (0, 0), (0x30, 1), (0x10, 1),
                          (0x5a, 0))))
    write('ats', 'sgl', bytes(page) + full + high + walks)


def guest():
    def op(what, queue=0, *args):
        return bytes((what, queue) + args).ljust(16, b'\0')

    def push(queue, slot, opc=1, prp1=0x8000, length=512, prp2=0xc000, how=0):
        return op(3, queue, slot, opc, how, slot, *struct.pack(
            '<HHH', prp1, prp2, length))

    heads = [op(2, 0, i % 5) for i in range(1, 40)]
    write('guest', 'laps', b''.join(
        push(i & 1, i // 2 % 8, 1 + i % 2, 0x8000 + i * 4, 4096) +
        op(6, 0, i) + op(2, 0, (i + 1) % 5) for i in range(64)))
    write('guest', 'full', b''.join(push(0, i) for i in range(7)) +
          op(6) * 7 + b''.join(heads[:9]) + op(12))
    write('guest', 'memory', b''.join(
        push(i & 1, i % 8, 2, 0x7ff0, 8192, 0x9000) + op(7, 0, i % 4) +
        op(6) + op(15) + op(8, 0, i % 4) + op(2, 0, i % 5)
        for i in range(32)))
    write('guest', 'shadow', op(9, 0, 1) + op(9, 1, 1) + b''.join(
        op(0, 0, *struct.pack('<H', (0x4000 + 8 * (1 + i % 2)) // 8),
           0, 0, 0, 0, i % 8, 0, 0, 0, i % 5) + op(6) + op(15)
        for i in range(40)) + op(9, 0, 0))
    write('guest', 'succeed', b''.join(
        push(i & 1, i % 8) + push(1, i % 8) + op(6, 0, 1) + op(14) +
        op(2, 0, i % 5) for i in range(16)))
    write('guest', 'damage', b''.join(
        push(0, i % 8) + op(13, 0, (192 + 128 + i * 8) // 8, 0, 0, 0, 0, 0,
                            3, 0, 0, 0, 1) + op(14) for i in range(24)))
    write('guest', 'close', b''.join(
        push(0, i % 8) + push(1, 0, 2, 0x8001) + op(10, i & 1) + op(11, i & 1)
        for i in range(16)))


def link():
    for kind in range(1, 23):
        for size in (16, 48, 96, 128):
            msg = struct.pack('<IHHIiHH', 0, kind, 0, 7, 0, 1, 0)
            write('link', '%02d-%d' % (kind, size),
                  struct.pack('<I', size) + msg[4:] + bytes(size))
    # Bodies as long as each type's is.
    qp, cq, mem, ns, ctrl = 72, 40, 40, 96 + 256, 256 + 16
    bodies = {1: 16, 2: mem, 3: mem, 4: qp, 5: qp, 6: ns, 7: ns, 8: ns, 9: mem,
              10: mem, 11: 8, 12: qp, 13: qp, 14: 0, 15: 0, 16: 0, 17: 0,
              18: 8, 19: 24, 20: 48 + 256 + 8, 21: 16, 22: 0, 23: ctrl,
              24: ctrl, 25: cq, 26: cq, 27: 16, 28: 256 + 8, 29: 8}
    stream = b''
    for kind, size in bodies.items():
        body = bytes((i * 7 + kind) & 0xff for i in range(size))
        for flags in 0, 1:
            msg = struct.pack('<IHHIiHH', 20 + size, kind, flags, 7, -5 * flags,
                              1, 0) + body
            write('link', 'whole-%02d-%d' % (kind, flags), msg)
        stream += msg
    write('link', 'stream', stream)
    write('link', 'long', struct.pack('<I', 0xffffffff) + bytes(64))


def vfio_message(cmd, payload=b'', flags=0, size=None):
    size = 16 + len(payload) if size is None else size
    return struct.pack('<HHIII', 7, cmd, size, flags, 0) + payload


def vfio_user():
    hello = vfio_message(1, struct.pack('<HH', 0, 1) +
                         b'{"capabilities":{"max_msg_fds":16,"migration":'
                         b'{"pgsize":4096},"write_multiple":true}}\0')
    asks = [vfio_message(4, struct.pack('<IIII', 16, 0, 0, 0)),
            vfio_message(5, struct.pack('<IIIIQQ', 32, 0, 7, 0, 0, 0)),
            vfio_message(6, struct.pack('<IIII', 16, 0, 0, 0)),
            vfio_message(7, struct.pack('<IIII', 16, 0, 2, 0)),
            vfio_message(8, struct.pack('<IIIII', 20, 0x21, 2, 0, 0)),
            vfio_message(8, struct.pack('<IIIIIB', 20, 0x22, 2, 0, 1, 1)),
            vfio_message(9, struct.pack('<QII', 0, 7, 256)),
            vfio_message(10, struct.pack('<QIII', 4, 7, 2, 6)[:-2], 0x10),
            vfio_message(2, struct.pack('<IIQQQ', 32, 1, 0, 0xc0000, 0x8000)),
            vfio_message(3, struct.pack('<IIQQ', 24, 0, 0xc0000, 0x8000)),
            vfio_message(3, struct.pack('<IIQQ', 24, 2, 0, 0)),
            vfio_message(15, struct.pack('<QQIIQ', 1, 0x14, 0, 4, 0)),
            vfio_message(13), vfio_message(99), vfio_message(11, b'', 1),
            vfio_message(9, struct.pack('<QII', 0, 0, 4), 0, 0xffffffff)]
    write('vfio-user', 'raw-all', b'\0' + hello + b''.join(asks))
    for i, ask in enumerate(asks):
        write('vfio-user', 'raw-%02d' % i, b'\0' + hello + ask)
    write('vfio-user', 'raw-early', b'\0' + asks[0])
    maps = b''.join(bytes([0, a, n, how]) for a in range(6) for n in range(6)
                    for how in (0x06, 0x0e, 0x26, 0x01, 0x05))
    write('vfio-user', 'maps', b'\x03' + maps)
    write('vfio-user', 'irqs', b'\x03' + b''.join(
        bytes([3, flags, index, 0, 1, 0, 1]) for flags in (0x24, 0x21, 0x22, 8,
                                                         9, 0x11)
        for index in range(6)))
    write('vfio-user', 'regions', b'\x03' + b''.join(
        bytes([1, r, at & 255, at >> 8, n, 1, 2, 3, 4]) for r in range(4)
        for at in (0, 4, 0x14, 0x30, 0x40, 0x1000, 0x2000, 0x3fff)
        for n in (4, 0x84)))
    write('vfio-user', 'multi', b'\x0f' + bytes(
        [2, 3, 0x40, 0, 4, 1, 0x41, 0, 8, 2, 0, 7, 2, 6]))
    write('vfio-user', 'asks', b'\x07' + b''.join(
        bytes([4, cmd, arg]) for cmd in range(8) for arg in (0, 2, 7, 9)))
    identify = bytes([6, 0, 0, 6, 0, 0x40, 1, 0, 1]) + bytes(11)
    write('vfio-user', 'guest', b'\x0f' + identify + bytes([8]) + b''.join(
        bytes([6, 1, i, 2, 1, 0x40, 1, 0, i]) + bytes(11) for i in range(4)) +
        bytes([13, 1, 3, 11, 12, 9]) + identify + bytes([4, 4, 0, 9, 10, 0, 9]))
    write('vfio-user', 'unmap-busy', b'\x0f' + bytes([8]) + identify + bytes(
        [0, 0, 2, 1, 12, 9, 8, 0, 0, 2, 5]))
    write('vfio-user', 'spoilt', b'\x0f' + b''.join(
        bytes([0x10 | kind, spoil, 5, 255, 1, 2, 3, 4]) for kind in range(5)
        for spoil in range(8)))


if len(sys.argv) != 2:
    sys.exit('usage: make-corpus.py CORPUS-FOLDER')
commands()
devices()
shm()
lend()
ats()
guest()
link()
vfio_user()
