/* pins.c - see pins.h. */
/* SPDX-License-Identifier: MIT */
#include "router/pins.h"

#include "router/relay.h"

#include <stdio.h>

const char *pins_reason(unsigned pin)
{
	switch (pin) {
	case RELAY_PIN_ENCODING:
		return "client_encoding";
	case RELAY_PIN_SESSION:
		return "session_mode";
	case RELAY_PIN_STATEMENT:
		return "long_statement";
	default:
		return pin < 1u << PIN_KINDS ? sql_pin_name((enum pin)pin) : NULL;
	}
}

void pins_name(unsigned pins, char *text, size_t size)
{
	size_t used = 0;
	*text = '\0';
	for (unsigned i = 0; i < PINS_KINDS && used < size; i++)
		if (pins >> i & 1)
			used += (size_t)snprintf(text + used, size - used, "%s%s", used ? "," : "",
			                         pins_reason(1u << i));
}

void pins_tell(struct client *c)
{
	char reasons[256];
	const struct log *log = &c->worker->context.log;
	if (c->pins == c->pins_told)
		return;
	c->pins_told = c->pins;
	if (log->level > LOG_DEBUG)
		return;
	pins_name(c->pins, reasons, sizeof reasons);
	log_debug(log, c->pins ? "client pinned to its server" : "client not pinned any more",
	          LOG_T("client", c->address), LOG_T("user", c->user), LOG_T("reasons", reasons));
}

void pins_tally(const struct worker *w, unsigned counts[PINS_KINDS])
{
	LIST_EACH (&w->clients, link) {
		const struct client *c = LIST_ENTRY(link, struct client, link);
		for (unsigned i = 0; c->pins && i < PINS_KINDS; i++)
			counts[i] += c->pins >> i & 1;
	}
}

void pins_count(struct worker *w)
{
	unsigned counts[PINS_KINDS] = {0}, all = 0;
	char text[512] = "";
	size_t used = 0;
	pins_tally(w, counts);
	LIST_EACH (&w->clients, link)
		all += LIST_ENTRY(link, struct client, link)->pins != 0;
	for (unsigned i = 0; i < PINS_KINDS && used < sizeof text; i++)
		if (counts[i])
			used += (size_t)snprintf(text + used, sizeof text - used, "%s%s:%u",
			                         used ? "," : "", pins_reason(1u << i), counts[i]);
	if (all)
		log_info(&w->context.log, "pinned clients", LOG_N("clients", all),
		         LOG_T("reasons", text));
}
