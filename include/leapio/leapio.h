/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * leapio.h - all of libleapio but plugin/, for those who write transports and
 * layers; every header also stands alone
 */
#ifndef LEAPIO_LEAPIO_H
#define LEAPIO_LEAPIO_H

#include <leapio/agent.h>
#include <leapio/ats.h>
#include <leapio/base.h>
#include <leapio/bdev.h>
#include <leapio/dmabuf.h>
#include <leapio/endian.h>
#include <leapio/farmem.h>
#include <leapio/host.h>
#include <leapio/lend.h>
#include <leapio/link.h>
#include <leapio/mem.h>
#include <leapio/nvme.h>
#include <leapio/nvme_tcp.h>
#include <leapio/nvmf.h>
#include <leapio/ocssd.h>
#include <leapio/pci.h>
#include <leapio/pollgroup.h>
#include <leapio/qp.h>
#include <leapio/record.h>
#include <leapio/relay.h>
#include <leapio/status.h>
#include <leapio/target.h>
#include <leapio/upgrade.h>
#include <leapio/vdev.h>

#endif
