/* measure.h - how long batches take, for cluster/statistics.h.
 *
 * A batch is one call of the statement that decides for it; it counts where it runs one: what is
 * only prepared or described does not. Its time begins when the part that first runs something is
 * sent; of batches that were sent ahead of an earlier one's answer, when that has come, for the
 * server works on them one after another. Whoever is repaired begins anew. */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_ROUTER_MEASURE_H
#define MOONGATE_ROUTER_MEASURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct batch;
struct exchange;

/* One batch under way. Zero is "nothing was sent of it". */
struct measure {
	uint64_t fingerprint;
	uint64_t rows; /* that its answer tells of so far */
	double since;
	uint8_t kind; /* enum sql_kind */
	bool known;   /* it has a statement */
	bool runs;    /* and runs one */
	bool failed;
};

/* It, or a part of it, is being sent; exchange_push() follows when it is whole. */
void measure_sent(struct exchange *x, const struct batch *b);

/* The batch that is awaited is being sent once more. */
void measure_again(struct exchange *x);

/* What its answer says: ErrorResponse, and CommandComplete with its body. */
void measure_error(struct exchange *x);
void measure_rows(struct exchange *x, const uint8_t *body, size_t size);

/* The answer that is awaited first is complete, and about to be counted off. */
void measure_answered(struct exchange *x);

/* No answer will come any more: all that is under way has failed. */
void measure_lost(struct exchange *x);

#endif
