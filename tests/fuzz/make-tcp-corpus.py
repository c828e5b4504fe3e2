#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
# Writes the seeds of the two TCP fuzz targets: make-tcp-corpus.py CORPUS-FOLDER
import os
import struct
import sys


def crc32c(data):
    crc = 0xffffffff
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82f63b78 if crc & 1 else 0)
    return crc ^ 0xffffffff


def pdu(kind, body, data=b'', flags=0, how=0, pad=0):
    hlen = 8 + len(body)
    digests = kind >= 4
    head = hlen + (4 if how & 2 and digests else 0) + pad
    plen = head + len(data) + (4 if how & 4 and data and digests else 0)
    if how & 2 and digests:
        flags |= 1
    if how & 4 and data and digests:
        flags |= 2
    out = struct.pack('<BBBBI', kind, flags, hlen, head if data else 0, plen)
    out += body
    if how & 2 and digests:
        out += struct.pack('<I', crc32c(out))
    out += bytes(pad) + data
    if how & 4 and data and digests:
        out += struct.pack('<I', crc32c(data))
    return out



def command(opc, cid, length, sgl, data=b'', how=0):
    raw = bytearray(64)
    raw[0], raw[1] = opc, 0x40
    struct.pack_into('<HI', raw, 2, cid, 1)
    struct.pack_into('<QI3xB', raw, 24, 0, length, sgl)
    struct.pack_into('<I', raw, 48, length)
    return pdu(4, bytes(raw), data, how=how)


def data_pdu(kind, cid, tag, at, data, flags, how=0, pad=0):
    body = struct.pack('<HHII4x', cid, tag, at, len(data))
    return pdu(kind, body, data, flags, how, pad)


def rsp(cid, status=0, how=0):
    return pdu(5, struct.pack('<QHHHH', 0, 1, 1, cid, status << 1), how=how)


def r2t(cid, tag, at, length, how=0):
    return pdu(9, struct.pack('<HHII4x', cid, tag, at, length), how=how)


def ic(kind, value, digests=0, pda=0, pfv=0):
    return pdu(kind, struct.pack('<HBBI112x', pfv, pda, digests, value))


def term(kind, fes, fei, data=b''):
    return pdu(kind, struct.pack('<HI10x', fes, fei), data)


def write(folder, name, how, more, stream):
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, name), 'wb') as out:
        out.write(bytes([how, more]) + stream)


def target(folder):
    for how in (1, 7, 1 | 8, 7 | 24):
        d = how & 6
        for more in (0, 1, 2, 0x31):
            stream = (command(1, 1, 512, 1, bytes(512), d) +
                      command(2, 2, 4096, 0x5a, how=d) +
                      command(1, 3, 1500, 0x5a, how=d))
            name = 'exchange-%02x-%02x' % (how, more)
            # Slots are three bits; which one the write has depends on how
            # the stream is cut, so try the tags that it may have.
            for slot in range(3):
                tag = 3 - slot << 3 | slot
                tail = (data_pdu(6, 3, tag, 0, bytes(1100), 0, d) +
                        data_pdu(6, 3, tag, 1100, bytes(400), 4, d))
                write(folder, '%s-%d' % (name, slot), how, more, stream + tail)
    bad = {
        'ic': ic(0, 0), 'ic-hpda': ic(0, 7, 3, 31), 'ic-pfv': ic(0, 0, pfv=1),
        'ic-hpda-bad': ic(0, 0, pda=32), 'http': b'GET / HTTP/1.1\r\n\r\n',
        'command-first': command(2, 1, 512, 0x5a),
    }
    for name, stream in bad.items():
        write(folder, 'early-' + name, 0, 0, stream)
        write(folder, 'late-' + name, 1, 0, stream)
    write(folder, 'term', 1, 0, term(2, 1, 4, bytes(72)))
    write(folder, 'deep', 1, 1, b''.join(command(2, i, 512, 0x5a)
                                         for i in range(12)))
    write(folder, 'many', 1, 1, b''.join(command(1, i, 500, 1, bytes(500))
                                         for i in range(8)))
    write(folder, 'sgl', 1, 0, b''.join(command(1, i, 512, i)
                                        for i in range(0, 256, 17)))
    write(folder, 'capsule-long', 1, 0, command(1, 1, 600, 1, bytes(600)))


def host(folder):
    cids = [2 << 3 | 0, 1 << 3 | 1, 1 << 3 | 2, 1 << 3 | 3]
    for how in (1, 3, 5, 7, 1 | 8, 7 | 16, 7 | 24):
        d = how & 6
        for more in (0, 1, 2, 0x12):
            stream = (data_pdu(7, cids[0], 0, 0, bytes(300), 0, d) +
                      r2t(cids[1], 9, 0, 400, d) +
                      data_pdu(7, cids[0], 0, 300, bytes(700), 4, d, 8) +
                      r2t(cids[1], 10, 400, 600, d) + rsp(cids[0], 0, d) +
                      data_pdu(7, cids[2], 0, 0, bytes(1000), 12, d) +
                      rsp(cids[3], 0x80, d) + rsp(cids[1], 0, d))
            write(folder, 'exchange-%02x-%02x' % (how, more), how, more, stream)
    write(folder, 'ic', 0, 0, ic(1, 4096))
    write(folder, 'ic-odd', 0, 0, ic(1, 4097))
    write(folder, 'ic-cpda', 0, 0, ic(1, 8192, pda=31) + rsp(8))
    write(folder, 'ic-digests', 0, 0, ic(1, 8192, digests=3))
    write(folder, 'ic-twice', 1, 0, ic(1, 4096))
    write(folder, 'term', 1, 0, term(3, 2, 0, bytes(24)))
    write(folder, 'r2ts', 1, 0, b''.join(r2t(cids[1], i, i * 100, 100)
                                         for i in range(6)))
    write(folder, 'data-over', 1, 0,
          data_pdu(7, cids[0], 0, 0, bytes(1001), 4))
    write(folder, 'rsp-cid', 1, 0, rsp(0xffff))
    write(folder, 'refused', 0, 0, ic(1, 4096) + rsp(8, 0x4182))


if len(sys.argv) != 2:
    sys.exit('usage: make-tcp-corpus.py CORPUS-FOLDER')
target(os.path.join(sys.argv[1], 'tcp-target'))
host(os.path.join(sys.argv[1], 'tcp-host'))
