/* parse_call.c - what calling a function does, going by its name and its constant arguments. */
/* SPDX-License-Identifier: MIT */
#include "sql/catalog_known.h"
#include "sql/lexer.h"
#include "sql/parse_session.h"

#include <string.h>

static const Node *argument(const FuncCall *call, int number)
{
	return list_length(call->args) > number ? list_nth(call->args, number) : NULL;
}

/* set_config(name, value, is_local) */
static void see_set_config(struct walk *w, const FuncCall *call)
{
	walk_write(w, EFFECT_VOLATILE, "changes a setting");
	if (w->now.quiet)
		return;
	const char *name = walk_text(argument(call, 0)), *value = walk_text(argument(call, 1));
	bool local = walk_truth(argument(call, 2)) == TRUTH_YES;
	if (name)
		walk_setting(w, name, local);
	else if (!local)
		w->draft->pins |= PIN_SESSION;
	/* What is made from now on may be temporary without saying so. */
	if (value && strstr(value, "pg_temp"))
		w->draft->pins |= PIN_TEMP;
}

/* current_setting(name), as SHOW. */
static void see_current_setting(struct walk *w, const FuncCall *call)
{
	char folded[64] = "";
	const char *name = walk_text(argument(call, 0));
	for (size_t i = 0; name && name[i] && i < sizeof(folded) - 1; i++)
		folded[i] = lexer_fold(name[i]);
	/* The port is asked for to see where a statement went: an answer from there is right. */
	if (!name || (known_node_setting(folded) && strcmp(folded, "port") != 0))
		walk_write(w, EFFECT_NODE, "reads a setting that may tell of the node");
}

void walk_call(struct walk *w, const FuncCall *call)
{
	int parts = list_length(call->funcname);
	const char *name = walk_name(llast(call->funcname));
	const char *schema = parts > 1 ? walk_name(list_nth(call->funcname, parts - 2)) : NULL;
	/* EXTRACT(), AT TIME ZONE ... have no schema in the text. */
	draft_function(w->draft, call->funcformat == COERCE_SQL_SYNTAX ? NULL : schema, name);
	if (!schema || strcmp(schema, "pg_catalog") == 0) {
		if (strcmp(name, "set_config") == 0) {
			see_set_config(w, call);
			return;
		}
		if (strcmp(name, "current_setting") == 0)
			see_current_setting(w, call);
	}
	walk_known(w, catalog_function(w->catalog, schema, name));
}
