/* counters.c - see counters.h. */
/* SPDX-License-Identifier: MIT */
#include "cluster/counters.h"

#include "base/log.h"

#include <inttypes.h>
#include <stdio.h>

const char *counter_name(enum counter counter)
{
	static const char *const names[COUNTERS] = {
	        [COUNTER_REPAIRED_READ_ONLY] = "repaired_read_only",
	        [COUNTER_REPAIRED_RECOVERY] = "repaired_recovery_refusal",
	        [COUNTER_REPAIRED_CONFLICT] = "repaired_conflict",
	        [COUNTER_REPAIRED_LOST] = "repaired_lost",
	        [COUNTER_REPAIRED_PLAN] = "repaired_stale_plan",
	        [COUNTER_UNKNOWN_OUTCOMES] = "unknown_outcomes",
	        [COUNTER_CUT_OFF_BLOCKS] = "cut_off_blocks",
	        [COUNTER_HELD] = "held",
	        [COUNTER_HELD_RELEASED] = "held_released",
	        [COUNTER_HELD_TIMEOUTS] = "held_timeouts",
	        [COUNTER_HELD_REFUSED] = "held_refused",
	        [COUNTER_PAUSED] = "paused",
	};
	return names[counter];
}

bool counters_text(const struct counters *now, const struct counters *before, char *text,
                   size_t size)
{
	size_t used = 0;
	*text = '\0';
	for (unsigned i = 0; i < COUNTERS && used < size; i++) {
		uint64_t more = now->values[i] - before->values[i];
		if (more)
			used += (size_t)snprintf(text + used, size - used, "%s%s:%" PRIu64,
			                         used ? "," : "", counter_name((enum counter)i),
			                         more);
	}
	return used > 0;
}

void counters_log(const struct counters *now, struct counters *told, const struct log *log,
                  const char *cluster)
{
	char text[512];
	if (!counters_text(now, told, text, sizeof text))
		return;
	*told = *now;
	log_info(log, "failures hidden or told", LOG_T("cluster", cluster), LOG_T("counts", text));
}
