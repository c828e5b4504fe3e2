#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# Make configure from configure.ac; run once after a checkout.
set -e
cd "$(dirname "$0")"
exec autoreconf --install --force "$@"
