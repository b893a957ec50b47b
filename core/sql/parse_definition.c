/* parse_definition.c - commands that change the catalog: always a write, with tables noted where
 * the command is about some. */
/* SPDX-License-Identifier: MIT */
#include "sql/parse_tree.h"
#include "sql/words.h"

typedef void note_fn(struct walk *w, Node *node);

static void note_create(struct walk *w, Node *node)
{
	const CreateStmt *create = (const CreateStmt *)node;
	walk_creation(w, create->relation, create->oncommit);
	walk_relations(w, create->inhRelations);
}

static void note_create_as(struct walk *w, Node *node)
{
	CreateTableAsStmt *create = castNode(CreateTableAsStmt, node);
	w->draft->effects |= EFFECT_INTO;
	walk_creation(w, create->into->rel, create->into->onCommit);
	/* EXECUTE runs what PREPARE has noted. */
	if (!IsA(create->query, ExecuteStmt))
		walk_tree(w, create->query, create->into->skipData);
	else
		w->draft->effects |= EFFECTS_OF_HIDDEN_CODE;
}

static void note_view(struct walk *w, Node *node)
{
	ViewStmt *view = castNode(ViewStmt, node);
	walk_creation(w, view->view, ONCOMMIT_NOOP);
	walk_tree(w, view->query, true);
}

static void note_sequence(struct walk *w, Node *node)
{
	if (castNode(CreateSeqStmt, node)->sequence->relpersistence == RELPERSISTENCE_TEMP)
		w->draft->pins |= PIN_TEMP;
}

static void note_index(struct walk *w, Node *node)
{
	walk_relation(w, castNode(IndexStmt, node)->relation);
}

static void note_rule(struct walk *w, Node *node)
{
	walk_relation(w, castNode(RuleStmt, node)->relation);
}

static void note_trigger(struct walk *w, Node *node)
{
	walk_relation(w, castNode(CreateTrigStmt, node)->relation);
}

static void note_policy(struct walk *w, Node *node)
{
	walk_relation(w, IsA(node, AlterPolicyStmt) ? castNode(AlterPolicyStmt, node)->table
	                                            : castNode(CreatePolicyStmt, node)->table);
}

static void note_alter_table(struct walk *w, Node *node)
{
	walk_relation(w, castNode(AlterTableStmt, node)->relation);
}

static void note_rename(struct walk *w, Node *node)
{
	walk_relation(w, castNode(RenameStmt, node)->relation);
}

static void note_schema_change(struct walk *w, Node *node)
{
	walk_relation(w, castNode(AlterObjectSchemaStmt, node)->relation);
}

static void note_grant(struct walk *w, Node *node)
{
	const GrantStmt *grant = castNode(GrantStmt, node);
	if (grant->objtype == OBJECT_TABLE && grant->targtype == ACL_TARGET_OBJECT)
		walk_relations(w, grant->objects);
}

/* It runs its script. */
static void note_extension(struct walk *w, Node *node)
{
	(void)node;
	w->draft->effects |= EFFECTS_OF_HIDDEN_CODE;
}

static void note_drop(struct walk *w, Node *node)
{
	const DropStmt *drop = castNode(DropStmt, node);
	if (drop->removeType != OBJECT_TABLE && drop->removeType != OBJECT_VIEW &&
	    drop->removeType != OBJECT_MATVIEW && drop->removeType != OBJECT_FOREIGN_TABLE)
		return;
	for (int i = 0; i < list_length(drop->objects); i++) {
		const List *name = list_nth(drop->objects, i);
		int parts = list_length(name);
		draft_table(w->draft, parts > 1 ? walk_name(list_nth(name, parts - 2)) : NULL,
		            walk_name(llast(name)));
	}
}

static const struct definition {
	NodeTag tag;
	enum sql_kind kind;
	note_fn *note; /* NULL: there is no table to it */
} definitions[] = {
        {T_CreateStmt, SQL_CREATE, note_create},
        {T_CreateForeignTableStmt, SQL_CREATE, note_create},
        {T_CreateTableAsStmt, SQL_CREATE, note_create_as},
        {T_ViewStmt, SQL_CREATE, note_view},
        {T_CreateSeqStmt, SQL_CREATE, note_sequence},
        {T_IndexStmt, SQL_CREATE, note_index},
        {T_RuleStmt, SQL_CREATE, note_rule},
        {T_CreateTrigStmt, SQL_CREATE, note_trigger},
        {T_CreatePolicyStmt, SQL_CREATE, note_policy},
        {T_DefineStmt, SQL_CREATE, NULL},
        {T_CompositeTypeStmt, SQL_CREATE, NULL},
        {T_CreateAmStmt, SQL_CREATE, NULL},
        {T_CreateCastStmt, SQL_CREATE, NULL},
        {T_CreateConversionStmt, SQL_CREATE, NULL},
        {T_CreateDomainStmt, SQL_CREATE, NULL},
        {T_CreateEnumStmt, SQL_CREATE, NULL},
        {T_CreateEventTrigStmt, SQL_CREATE, NULL},
        {T_CreateExtensionStmt, SQL_CREATE, note_extension},
        {T_CreateFdwStmt, SQL_CREATE, NULL},
        {T_CreateForeignServerStmt, SQL_CREATE, NULL},
        {T_CreateFunctionStmt, SQL_CREATE, NULL},
        {T_CreateOpClassStmt, SQL_CREATE, NULL},
        {T_CreateOpFamilyStmt, SQL_CREATE, NULL},
        {T_CreatePLangStmt, SQL_CREATE, NULL},
        {T_CreatePublicationStmt, SQL_CREATE, NULL},
        {T_CreateRangeStmt, SQL_CREATE, NULL},
        {T_CreateRoleStmt, SQL_CREATE, NULL},
        {T_CreateSchemaStmt, SQL_CREATE, NULL},
        {T_CreateStatsStmt, SQL_CREATE, NULL},
        {T_CreateSubscriptionStmt, SQL_CREATE, NULL},
        {T_CreateTableSpaceStmt, SQL_CREATE, NULL},
        {T_CreateTransformStmt, SQL_CREATE, NULL},
        {T_CreateUserMappingStmt, SQL_CREATE, NULL},
        {T_CreatedbStmt, SQL_CREATE, NULL},
        {T_AlterTableStmt, SQL_ALTER, note_alter_table},
        {T_RenameStmt, SQL_ALTER, note_rename},
        {T_AlterObjectSchemaStmt, SQL_ALTER, note_schema_change},
        {T_AlterPolicyStmt, SQL_ALTER, note_policy},
        {T_AlterCollationStmt, SQL_ALTER, NULL},
        {T_AlterDatabaseRefreshCollStmt, SQL_ALTER, NULL},
        {T_AlterDatabaseSetStmt, SQL_ALTER, NULL},
        {T_AlterDatabaseStmt, SQL_ALTER, NULL},
        {T_AlterDefaultPrivilegesStmt, SQL_ALTER, NULL},
        {T_AlterDomainStmt, SQL_ALTER, NULL},
        {T_AlterEnumStmt, SQL_ALTER, NULL},
        {T_AlterEventTrigStmt, SQL_ALTER, NULL},
        {T_AlterExtensionContentsStmt, SQL_ALTER, NULL},
        {T_AlterExtensionStmt, SQL_ALTER, note_extension},
        {T_AlterFdwStmt, SQL_ALTER, NULL},
        {T_AlterForeignServerStmt, SQL_ALTER, NULL},
        {T_AlterFunctionStmt, SQL_ALTER, NULL},
        {T_AlterObjectDependsStmt, SQL_ALTER, NULL},
        {T_AlterOpFamilyStmt, SQL_ALTER, NULL},
        {T_AlterOperatorStmt, SQL_ALTER, NULL},
        {T_AlterOwnerStmt, SQL_ALTER, NULL},
        {T_AlterPublicationStmt, SQL_ALTER, NULL},
        {T_AlterRoleSetStmt, SQL_ALTER, NULL},
        {T_AlterRoleStmt, SQL_ALTER, NULL},
        {T_AlterSeqStmt, SQL_ALTER, NULL},
        {T_AlterStatsStmt, SQL_ALTER, NULL},
        {T_AlterSubscriptionStmt, SQL_ALTER, NULL},
        {T_AlterTSConfigurationStmt, SQL_ALTER, NULL},
        {T_AlterTSDictionaryStmt, SQL_ALTER, NULL},
        {T_AlterTableMoveAllStmt, SQL_ALTER, NULL},
        {T_AlterTableSpaceOptionsStmt, SQL_ALTER, NULL},
        {T_AlterTypeStmt, SQL_ALTER, NULL},
        {T_AlterUserMappingStmt, SQL_ALTER, NULL},
        {T_DropStmt, SQL_DROP, note_drop},
        {T_DropOwnedStmt, SQL_DROP, NULL},
        {T_DropRoleStmt, SQL_DROP, NULL},
        {T_DropSubscriptionStmt, SQL_DROP, NULL},
        {T_DropTableSpaceStmt, SQL_DROP, NULL},
        {T_DropUserMappingStmt, SQL_DROP, NULL},
        {T_DropdbStmt, SQL_DROP, NULL},
        {T_GrantStmt, SQL_UTILITY, note_grant},
        {T_GrantRoleStmt, SQL_UTILITY, NULL},
        {T_CommentStmt, SQL_UTILITY, NULL},
        {T_SecLabelStmt, SQL_UTILITY, NULL},
        {T_ReassignOwnedStmt, SQL_UTILITY, NULL},
        {T_ImportForeignSchemaStmt, SQL_UTILITY, NULL},
};

bool walk_definition(struct walk *w, Node *node)
{
	for (size_t i = 0; i < sizeof(definitions) / sizeof(definitions[0]); i++) {
		const struct definition *definition = &definitions[i];
		if (definition->tag != nodeTag(node))
			continue;
		w->draft->kind = definition->kind;
		walk_write(w, EFFECT_DDL, "changes the catalog");
		if (definition->kind == SQL_DROP) /* perhaps the last temporary table */
			w->draft->effects |= EFFECT_UNPINS;
		if (definition->note)
			definition->note(w, node);
		/* Types, functions, domains ... are temporary by their schema alone. */
		if (words_mention_temp(w->text, w->size, w->standard_strings))
			w->draft->pins |= PIN_TEMP;
		return true;
	}
	return false;
}
