/* options.c - see options.h. The ranges are those that the options of the Lua module have. */
/* SPDX-License-Identifier: MIT */
#include "api/options.h"

#define MOST_SECONDS 1e9 /* libev's timers take no infinity */
#define MOST_FACTOR  1e9

struct number {
	const char *name;
	double value, low, high;
	const char *unit;
};

/* Also of one that is no number at all. */
static bool in_range(double value, double low, double high)
{
	return value >= low && value <= high;
}

static bool check_numbers(const struct number *numbers, size_t count, const struct complaint_to *to)
{
	for (const struct number *n = numbers; n < numbers + count; n++)
		if (n->value != 0 && !in_range(n->value, n->low, n->high))
			return complain(to, "%s must be %sfrom %g to %g (0: the default), not %g",
			                n->name, n->unit, n->low, n->high, n->value);
	return true;
}

static bool check_counts(const struct moongate_options *o, const struct complaint_to *to)
{
	const struct {
		const char *name;
		unsigned value, low, high;
	} counts[] = {
	        {"pool_size", o->pool_size, 1, 100000},
	        {"health_fall", o->health_fall, 1, 1000},
	        {"health_rise", o->health_rise, 1, 1000},
	        {"backoff_attempts", o->backoff_attempts, 1, 1000000},
	};
	for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
		if (counts[i].value > counts[i].high)
			return complain(to, "%s must be from %u to %u (0: the default), not %u",
			                counts[i].name, counts[i].low, counts[i].high,
			                counts[i].value);
	return true;
}

static bool check_weights(const struct moongate_options *o, const struct complaint_to *to)
{
	if (!in_range(o->primary.weight, 0, MOST_FACTOR))
		return complain(to, "the primary's weight must be from 0 to %g (0: 1), not %g",
		                MOST_FACTOR, o->primary.weight);
	if (o->replica_count > 0 && !o->replicas)
		return complain(to, "replica_count is %zu, but there are no replicas",
		                o->replica_count);
	for (size_t i = 0; i < o->replica_count; i++)
		if (!in_range(o->replicas[i].weight, 0, MOST_FACTOR))
			return complain(
			        to, "the weight of replica %zu must be from 0 to %g (0: 1), not %g",
			        i + 1, MOST_FACTOR, o->replicas[i].weight);
	return true;
}

bool options_are_right(const struct moongate_options *o, const struct complaint_to *to)
{
	const struct number numbers[] = {
	        {"acquire_timeout", o->acquire_timeout, 0, MOST_SECONDS, "seconds, "},
	        {"connect_timeout", o->connect_timeout, 0.001, MOST_SECONDS, "seconds, "},
	        {"idle_timeout", o->idle_timeout, 0, MOST_SECONDS, "seconds, "},
	        {"max_lifetime", o->max_lifetime, 0, MOST_SECONDS, "seconds, "},
	        {"health_interval", o->health_interval, 0.001, MOST_SECONDS, "seconds, "},
	        {"health_timeout", o->health_timeout, 0.001, MOST_SECONDS, "seconds, "},
	        {"backoff_initial", o->backoff_initial, 0, MOST_SECONDS, "seconds, "},
	        {"backoff_max", o->backoff_max, 0, MOST_SECONDS, "seconds, "},
	        {"backoff_factor", o->backoff_factor, 1, MOST_FACTOR, ""},
	        {"backoff_jitter", o->backoff_jitter, 0, 1, ""},
	};
	return check_numbers(numbers, sizeof numbers / sizeof *numbers, to) &&
	       check_counts(o, to) && check_weights(o, to);
}

/* Parameter `i`, from 0. */
static bool check_parameter(const struct moongate_statement *s, int i,
                            const struct complaint_to *to)
{
	int format = s->formats ? s->formats[i] : 0;
	if (format != 0 && format != 1)
		return complain(to, "the format of $%d must be 0 or 1, not %d", i + 1, format);
	if (format == 0 || !s->values[i])
		return true;
	if (!s->lengths)
		return complain(to, "$%d is binary, but there are no lengths", i + 1);
	if (s->lengths[i] < 0)
		return complain(to, "the length of $%d must be at least 0, not %d", i + 1,
		                s->lengths[i]);
	return true;
}

static bool check_parameters(const struct moongate_statement *s, const struct complaint_to *to)
{
	if (s->count < 0 || s->count > MOST_PARAMETERS)
		return complain(to, "count must be from 0 to %d, not %d", MOST_PARAMETERS,
		                s->count);
	if (s->count > 0 && !s->values)
		return complain(to, "the statement has a count of parameters, but no values");
	for (int i = 0; i < s->count; i++)
		if (!check_parameter(s, i, to))
			return false;
	return true;
}

bool statement_is_right(const struct moongate_statement *s, const struct complaint_to *to)
{
	if (!s->sql)
		return complain(to, "the statement has no sql");
	if (!in_range(s->timeout, 0, MOST_SECONDS))
		return complain(to, "timeout must be seconds, from 0 to %g, not %g", MOST_SECONDS,
		                s->timeout);
	if (s->intent != MOONGATE_CLASSIFIED && s->intent != MOONGATE_READ &&
	    s->intent != MOONGATE_WRITE)
		return complain(to,
		                "intent must be MOONGATE_CLASSIFIED, MOONGATE_READ or "
		                "MOONGATE_WRITE, not %d",
		                (int)s->intent);
	return check_parameters(s, to);
}
