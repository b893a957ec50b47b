/* replay_report.h - what `moongate replay` has counted, and how it is printed. */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_ROUTER_REPLAY_REPORT_H
#define MOONGATE_ROUTER_REPLAY_REPORT_H

#include "router/tally.h"

#include <stdbool.h>
#include <stdint.h>

#define REPLAY_MARK '\x1f' /* between the parts of a key */

struct replay_report {
	uint64_t statements, skipped, cut, unparsable, differing;
	struct tally *verdicts; /* verdict, rule */
	struct tally *changes;  /* fingerprint, kind, verdict, other verdict; NULL: not compared */
	const char *script, *against;
};

void replay_report_text(const struct replay_report *report);
void replay_report_json(const struct replay_report *report); /* one object */

#endif
