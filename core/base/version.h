/* version.h - what this is called: here, and nowhere else. */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_BASE_VERSION_H
#define MOONGATE_BASE_VERSION_H

#define MOONGATE_VERSION "0.1.0"

#endif
