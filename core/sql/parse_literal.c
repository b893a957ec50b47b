/* parse_literal.c - what the text says of a value that a statement hangs on. */
/* SPDX-License-Identifier: MIT */
#include "sql/parse_tree.h"

#include <string.h>
#include <strings.h>

const char *walk_string(const Node *node)
{
	const A_Const *constant = (const A_Const *)node;
	if (!node || !IsA(node, A_Const) || constant->isnull || !IsA(&constant->val, String))
		return NULL;
	return constant->val.sval.sval;
}

/* text and varchar keep what they are given; name and char(n) may cut it. */
static bool keeps_text(const TypeName *type)
{
	int parts = list_length(type->names);
	if (parts == 0 || type->typmods || type->arrayBounds || type->setof)
		return false;
	if (parts > 1 && strcmp(walk_name(linitial(type->names)), "pg_catalog") != 0)
		return false;
	const char *name = walk_name(llast(type->names));
	return parts <= 2 && (strcmp(name, "text") == 0 || strcmp(name, "varchar") == 0);
}

const char *walk_text(const Node *node)
{
	while (node && IsA(node, TypeCast) && keeps_text(((const TypeCast *)node)->typeName))
		node = ((const TypeCast *)node)->arg;
	return walk_string(node);
}

static bool among(const char *value, const char *const *words)
{
	for (; *words; words++)
		if (strcasecmp(value, *words) == 0)
			return true;
	return false;
}

static enum truth truth_of(const char *value)
{
	static const char *const yes[] = {"on", "true", "t", "yes", "y", "1", NULL},
	                         *const no[] = {"off", "false", "f", "no", "n", "0", NULL};
	if (!value)
		return TRUTH_UNSURE;
	return among(value, yes) ? TRUTH_YES : among(value, no) ? TRUTH_NO : TRUTH_UNSURE;
}

/* TRUE and FALSE come as casts to bool, or as words. */
enum truth walk_truth(const Node *node)
{
	if (node && IsA(node, TypeCast))
		node = ((const TypeCast *)node)->arg;
	if (!node || !IsA(node, A_Const))
		return TRUTH_UNSURE;
	const A_Const *constant = (const A_Const *)node;
	if (!constant->isnull && IsA(&constant->val, Boolean))
		return constant->val.boolval.boolval ? TRUTH_YES : TRUTH_NO;
	if (!constant->isnull && IsA(&constant->val, Integer))
		return constant->val.ival.ival ? TRUTH_YES : TRUTH_NO;
	return truth_of(walk_string(node));
}
