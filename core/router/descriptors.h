/* descriptors.h - how many file descriptors there are, and whether another client may have one.
 *
 * Each client and each server needs one. Clients are taken only as long as enough are left for the
 * servers that they will want: who was accepted is served, the others wait in the kernel's queue.
 */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_ROUTER_DESCRIPTORS_H
#define MOONGATE_ROUTER_DESCRIPTORS_H

#include <stdbool.h>

struct worker;

struct descriptors {
	unsigned limit;  /* of this process */
	unsigned others; /* in use for neither clients nor servers */
	unsigned demand; /* servers, and connections of admin's, that the configuration asks room
	                    for */
};

/* Raises the limit as far as it goes, and logs it. Before anything is opened. */
void descriptors_raise(struct worker *worker);

/* Once the script is loaded and the port is open: counts what is in use, and warns where the
 * limit will not do for the configured pools. */
void descriptors_check(struct worker *worker);

/* The script is another: its pools may ask for more. */
void descriptors_recheck(struct worker *worker);

/* Whether too few are left for another client. */
bool descriptors_short(struct worker *worker);

#endif
