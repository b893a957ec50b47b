/* parse_tree.c - each node is seen once; its children join the list of those to be seen. */
/* SPDX-License-Identifier: MIT */
#include "sql/parse_tree.h"

/* clang-format off */
#include <nodes/nodeFuncs.h>
/* clang-format on */

#include <stdlib.h>
#include <string.h>

#define LOOKUPS 100000 /* beyond it, names are taken for tables without another look */

/* Room for one more of `size` bytes each. */
static bool grow(void *array, size_t count, size_t *room, size_t size)
{
	if (count < *room)
		return true;
	size_t more = *room ? *room * 2 : 64;
	void *grown = realloc(*(void **)array, more * size);
	if (!grown)
		return false;
	*(void **)array = grown;
	*room = more;
	return true;
}

static void push(struct walk *w, void *node, uint32_t scope)
{
	if (!node)
		return;
	if (!grow(&w->items, w->item_count, &w->item_room, sizeof(*w->items))) {
		w->draft->broken = true;
		return;
	}
	w->items[w->item_count++] =
	        (struct item){.node = node, .scope = scope, .quiet = w->now.quiet};
}

static bool push_child(Node *node, void *arg)
{
	struct walk *w = arg;
	push(w, node, w->now.scope);
	return false;
}

/* Returns what stands for the new scope; 0 when out of memory. */
static uint32_t add_scope(struct walk *w, List *ctes, int visible, uint32_t around)
{
	if (!grow(&w->scopes, w->scope_count, &w->scope_room, sizeof(*w->scopes))) {
		w->draft->broken = true;
		return 0;
	}
	w->scopes[w->scope_count++] =
	        (struct scope){.ctes = ctes, .visible = visible, .around = around};
	return (uint32_t)w->scope_count;
}

static bool names_cte(struct walk *w, const char *name)
{
	for (uint32_t at = w->now.scope; at; at = w->scopes[at - 1].around) {
		const struct scope *s = &w->scopes[at - 1];
		for (int i = 0; i < s->visible; i++) {
			const CommonTableExpr *cte = list_nth(s->ctes, i);
			if (++w->lookups > LOOKUPS)
				return false;
			if (strcmp(cte->ctename, name) == 0)
				return true;
		}
	}
	return false;
}

/* WITH a AS (...), b AS (...): b's query sees a; with RECURSIVE, each sees all. The statement that
 * the clause belongs to sees all, too: that scope is returned. */
static void see_with(struct walk *w, const WithClause *with)
{
	uint32_t around = w->now.scope;
	for (int i = 0; i < list_length(with->ctes); i++) {
		CommonTableExpr *cte = list_nth(with->ctes, i);
		int visible = with->recursive ? list_length(with->ctes) : i;
		if (!IsA(cte->ctequery, SelectStmt))
			walk_write(w, EFFECT_MODIFYING_CTE, "modifies data in WITH");
		push(w, cte->ctequery, add_scope(w, with->ctes, visible, around));
	}
	w->now.scope = add_scope(w, with->ctes, list_length(with->ctes), around);
}

void walk_relation(struct walk *w, const RangeVar *relation)
{
	if (!relation)
		return;
	draft_table(w->draft, relation->schemaname, relation->relname);
	if (known_temp_schema(relation->schemaname)) {
		w->draft->pins |= PIN_TEMP;
		draft_write(w->draft, "names a temporary object");
	}
}

static const char *const says_catalog = "names what may write, says the catalog";

static void see_name(struct walk *w, enum catalog_kind kind, const char *schema, const char *name)
{
	walk_known(w, known_of_traits(catalog_look(w->catalog, kind, schema, name), says_catalog));
}

void walk_target(struct walk *w, const RangeVar *relation)
{
	walk_relation(w, relation);
	if (relation)
		see_name(w, CATALOG_WRITTEN, relation->schemaname, relation->relname);
}

void walk_relations(struct walk *w, const List *relations)
{
	for (int i = 0; i < list_length(relations); i++)
		walk_relation(w, list_nth(relations, i));
}

void walk_creation(struct walk *w, const RangeVar *relation, OnCommitAction on_commit)
{
	if (!relation)
		return;
	walk_relation(w, relation);
	/* One that is dropped at the block's end leaves nothing behind. */
	if (relation->relpersistence == RELPERSISTENCE_TEMP && on_commit != ONCOMMIT_DROP)
		w->draft->pins |= PIN_TEMP;
}

static void see_relation(struct walk *w, const RangeVar *relation)
{
	if (!relation->schemaname && names_cte(w, relation->relname))
		return;
	walk_relation(w, relation);
	if (known_node_relation(relation->schemaname, relation->relname))
		walk_write(w, EFFECT_NODE, "reads what tells of the node or the session");
	see_name(w, CATALOG_RELATION, relation->schemaname, relation->relname);
}

/* Operators named without a schema are PostgreSQL's own as a rule, and hardly ever VOLATILE: a
 * catalog lists the others. */
static void see_operator(struct walk *w, const List *name)
{
	int parts = list_length(name);
	if (parts == 0)
		return;
	const char *schema = parts > 1 ? walk_name(list_nth(name, parts - 2)) : NULL;
	if (schema && strcmp(schema, "pg_catalog") == 0)
		return;
	unsigned traits =
	        catalog_look(w->catalog, CATALOG_OPERATOR, schema, walk_name(llast(name)));
	if (traits & TRAIT_UNKNOWN)
		traits = TRAIT_WRITES | TRAIT_HIDDEN;
	walk_known(w, known_of_traits(traits, "uses an operator that is not known to only read"));
}

/* BETWEEN stands for two operators. */
static void see_expression(struct walk *w, const A_Expr *expression)
{
	see_operator(w, expression->name);
	if (expression->kind < AEXPR_BETWEEN || expression->kind > AEXPR_NOT_BETWEEN_SYM)
		return;
	see_name(w, CATALOG_OPERATOR, NULL, ">=");
	see_name(w, CATALOG_OPERATOR, NULL, "<=");
}

/* A cast's target, which may be a domain with checks. */
static void see_type(struct walk *w, const TypeName *type)
{
	int parts = list_length(type->names);
	if (parts > 0)
		see_name(w, CATALOG_TYPE,
		         parts > 1 ? walk_name(list_nth(type->names, parts - 2)) : NULL,
		         walk_name(llast(type->names)));
}

/* t.f and (x).f may call f(t). The first part of t.f is none. */
static void see_fields(struct walk *w, const List *parts, int first)
{
	for (int i = first; i < list_length(parts); i++)
		if (IsA(list_nth(parts, i), String))
			see_name(w, CATALOG_FIELD, NULL, walk_name(list_nth(parts, i)));
}

static void see_select(struct walk *w, const SelectStmt *select)
{
	if (select->withClause)
		see_with(w, select->withClause);
	if (select->lockingClause)
		walk_write(w, EFFECT_LOCKING, "locks rows");
	if (!select->intoClause)
		return;
	walk_write(w, EFFECT_INTO | EFFECT_DDL, "creates a table");
	if (w->now.quiet)
		walk_relation(w, select->intoClause->rel);
	else
		walk_creation(w, select->intoClause->rel, select->intoClause->onCommit);
}

static void see_modification(struct walk *w, const RangeVar *target, const WithClause *with)
{
	walk_write(w, 0, "modifies data");
	walk_target(w, target);
	if (with)
		see_with(w, with);
}

/* What is written to this view a rule hands to set_config(). */
static void see_update(struct walk *w, const UpdateStmt *update)
{
	const RangeVar *target = update->relation;
	see_modification(w, target, update->withClause);
	bool is_catalog = !target->schemaname || strcmp(target->schemaname, "pg_catalog") == 0;
	if (!w->now.quiet && is_catalog && strcmp(target->relname, "pg_settings") == 0)
		w->draft->pins |= PIN_SESSION;
}

/* Notes what a node is. False: its children are not for the walk. */
static bool see(struct walk *w, Node *node)
{
	switch (nodeTag(node)) {
	case T_RangeVar:
		see_relation(w, castNode(RangeVar, node));
		return false;
	case T_FuncCall:
		walk_call(w, castNode(FuncCall, node));
		return true;
	case T_SelectStmt:
		see_select(w, castNode(SelectStmt, node));
		return true;
	case T_InsertStmt:
		see_modification(w, ((InsertStmt *)node)->relation,
		                 ((InsertStmt *)node)->withClause);
		return true;
	case T_UpdateStmt:
		see_update(w, castNode(UpdateStmt, node));
		return true;
	case T_DeleteStmt:
		see_modification(w, ((DeleteStmt *)node)->relation,
		                 ((DeleteStmt *)node)->withClause);
		return true;
	case T_MergeStmt:
		see_modification(w, ((MergeStmt *)node)->relation, ((MergeStmt *)node)->withClause);
		return true;
	case T_A_Expr:
		see_expression(w, castNode(A_Expr, node));
		return true;
	case T_TypeName:
		see_type(w, castNode(TypeName, node));
		return true;
	case T_ColumnRef:
		see_fields(w, castNode(ColumnRef, node)->fields, 1);
		return true;
	case T_A_Indirection:
		see_fields(w, castNode(A_Indirection, node)->indirection, 0);
		return true;
	case T_SubLink:
		see_operator(w, castNode(SubLink, node)->operName);
		return true;
	case T_SortBy:
		see_operator(w, castNode(SortBy, node)->useOp);
		return true;
	case T_WithClause:    /* seen with its statement */
	case T_IntoClause:    /* as well */
	case T_LockingClause: /* its names are aliases */
		return false;
	default:
		return true;
	}
}

/* raw_expression_tree_walker() ends the process over a node that it does not know. */
static const bool known_nodes[] = {
        [T_SetToDefault] = true,     [T_CurrentOfExpr] = true,  [T_SQLValueFunction] = true,
        [T_Integer] = true,          [T_Float] = true,          [T_Boolean] = true,
        [T_String] = true,           [T_BitString] = true,      [T_ParamRef] = true,
        [T_A_Const] = true,          [T_A_Star] = true,         [T_Alias] = true,
        [T_GroupingFunc] = true,     [T_SubLink] = true,        [T_CaseExpr] = true,
        [T_RowExpr] = true,          [T_CoalesceExpr] = true,   [T_MinMaxExpr] = true,
        [T_XmlExpr] = true,          [T_NullTest] = true,       [T_BooleanTest] = true,
        [T_JoinExpr] = true,         [T_List] = true,           [T_InsertStmt] = true,
        [T_DeleteStmt] = true,       [T_UpdateStmt] = true,     [T_MergeStmt] = true,
        [T_MergeWhenClause] = true,  [T_SelectStmt] = true,     [T_A_Expr] = true,
        [T_BoolExpr] = true,         [T_ColumnRef] = true,      [T_FuncCall] = true,
        [T_NamedArgExpr] = true,     [T_A_Indices] = true,      [T_A_Indirection] = true,
        [T_A_ArrayExpr] = true,      [T_ResTarget] = true,      [T_MultiAssignRef] = true,
        [T_TypeCast] = true,         [T_CollateClause] = true,  [T_SortBy] = true,
        [T_WindowDef] = true,        [T_RangeSubselect] = true, [T_RangeFunction] = true,
        [T_RangeTableSample] = true, [T_RangeTableFunc] = true, [T_RangeTableFuncCol] = true,
        [T_TypeName] = true,         [T_ColumnDef] = true,      [T_IndexElem] = true,
        [T_GroupingSet] = true,      [T_XmlSerialize] = true,   [T_InferClause] = true,
        [T_OnConflictClause] = true, [T_CommonTableExpr] = true};

static bool has_known_children(const Node *node)
{
	return nodeTag(node) < sizeof(known_nodes) && known_nodes[nodeTag(node)];
}

void walk_tree(struct walk *w, void *node, bool quiet)
{
	w->now = (struct item){.quiet = quiet};
	push(w, node, 0);
	while (w->item_count) {
		w->now = w->items[--w->item_count];
		if (!see(w, w->now.node))
			continue;
		if (has_known_children(w->now.node))
			raw_expression_tree_walker(w->now.node, push_child, w);
		else
			walk_write(w, 0, "has a part that is not known");
	}
	w->now = (struct item){.quiet = false};
}

void walk_free(struct walk *w)
{
	free(w->items);
	free(w->scopes);
}
