/* catalog_known.c - see catalog_known.h. */
/* SPDX-License-Identifier: MIT */
#include "sql/catalog_known.h"

#include "sql/facts.h"

/* What the server can be asked for, at the end of the transaction. */
#define PINS_ASKED (PIN_TEMP | PIN_LISTEN | PIN_ADVISORY_LOCK | PIN_CURSOR | PIN_PREPARE)

struct known_function known_of_traits(unsigned traits, const char *reason)
{
	struct known_function known = {.reason = NULL};
	if (traits & TRAIT_WRITES)
		known.effects |= EFFECT_VOLATILE;
	if (traits & TRAIT_NODE)
		known.effects |= EFFECT_NODE;
	if (traits & TRAIT_HIDDEN)
		known.effects |= EFFECTS_OF_HIDDEN_CODE;
	if (traits & TRAIT_SEQUENCE)
		known.effects |= EFFECT_SEQUENCE;
	if (traits & TRAIT_SESSION)
		known.pins |= PIN_SESSION;
	if (known.effects || known.pins)
		known.reason = reason;
	return known;
}

unsigned traits_of_known(const struct known_function *known)
{
	unsigned traits = 0;
	if (!known->reason)
		return 0;
	if (known->effects & EFFECT_NODE)
		traits |= TRAIT_NODE;
	if (known->effects & EFFECT_VOLATILE || !traits)
		traits |= TRAIT_WRITES;
	if (known->effects & EFFECTS_OF_HIDDEN_CODE || known->pins & PINS_ASKED)
		traits |= TRAIT_HIDDEN;
	if (known->effects & EFFECT_SEQUENCE)
		traits |= TRAIT_SEQUENCE;
	if (known->pins & ~(unsigned)PINS_ASKED)
		traits |= TRAIT_SESSION;
	return traits;
}

struct known_function catalog_function(const struct catalog_lookup *lookup, const char *schema,
                                       const char *name)
{
	unsigned traits = catalog_look(lookup, CATALOG_FUNCTION, schema, name);
	struct known_function known = known_function(schema, name);
	struct known_function said =
	        known_of_traits(traits, "calls a function that may write, says the catalog");
	if (traits & TRAIT_FIXED)
		return said;
	if (traits & TRAIT_UNKNOWN)
		return known;
	said.pins |= known.pins;
	if (known.unknown)
		return said;
	said.effects |= known.effects;
	said.reason = known.reason ? known.reason : said.reason;
	return said;
}
