/* catalog_sql.c - see catalog_sql.h.
 *
 * What a stored expression or view calls is read from its tree, as pg_depend does not tell of
 * PostgreSQL's own functions, and as pg_get_viewdef() would lock what the view reads. A tree names
 * objects by their oid; of those that PostgreSQL has itself (oid < 16384) the IMMUTABLE functions
 * are left out. */
/* SPDX-License-Identifier: MIT */
#include "cluster/catalog_sql.h"

/* Nobody's objects are taken for PostgreSQL's own, and it does not hurry. */
#define SETTINGS                                                                                   \
	"SET search_path = pg_catalog; SET jit = off;"                                             \
	" SET max_parallel_workers_per_gather = 0; "

/* clang-format off */
const char catalog_sql_digest[] =
	SETTINGS
	"SELECT coalesce(sum(hashtextextended(concat(k, ' ', oid, ' ', xmin, ' ', ctid),"
	" 0)), 0) FROM ("
	" SELECT 'f' AS k, oid, xmin, ctid FROM pg_proc WHERE oid >= 16384"
	" UNION ALL SELECT 'n', oid, xmin, ctid FROM pg_namespace WHERE nspname !~"
	" '^pg_(toast_)?temp_'"
	" UNION ALL SELECT 'r', oid, xmin, ctid FROM pg_class WHERE relkind IN"
	" ('r','p','v','m','f','S') AND relpersistence <> 't' AND oid >= 16384"
	" UNION ALL SELECT 'u', r.oid, r.xmin, r.ctid FROM pg_rewrite r JOIN pg_class c"
	" ON c.oid = ev_class WHERE relpersistence <> 't' AND r.oid >= 16384"
	" UNION ALL SELECT 'g', t.oid, t.xmin, t.ctid FROM pg_trigger t JOIN pg_class c"
	" ON c.oid = tgrelid WHERE relpersistence <> 't' AND NOT tgisinternal"
	" UNION ALL SELECT 'a', a.oid, a.xmin, a.ctid FROM pg_attrdef a JOIN pg_class c"
	" ON c.oid = adrelid WHERE relpersistence <> 't'"
	" UNION ALL SELECT 'p', oid, xmin, ctid FROM pg_policy"
	" UNION ALL SELECT 'd', oid, xmin, ctid FROM pg_type WHERE typtype = 'd' AND oid"
	" >= 16384"
	" UNION ALL SELECT 'k', oid, xmin, ctid FROM pg_constraint WHERE oid >= 16384"
	" AND (contypid <> 0 OR contype = 'f')"
	" UNION ALL SELECT 'o', oid, xmin, ctid FROM pg_operator WHERE oid >= 16384"
	" UNION ALL SELECT 'c', oid, xmin, ctid FROM pg_cast WHERE oid >= 16384) AS object";

/* Bodies that the catalog keeps as trees came with version 14. */
#define READ(body)                                                                                 \
	SETTINGS                                                                                   \
	"WITH rel AS ("                                                                                   \
	" SELECT c.oid, n.nspname, c.relname, c.relkind, c.relpersistence,"                               \
	" c.relrowsecurity, c.relhastriggers, c.relhasrules"                                              \
	" FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"                                  \
	" WHERE c.relkind IN ('r','p','v','m','f','S') AND c.relpersistence <> 't'"                       \
	" ), fun AS ("                                                                                    \
	" SELECT p.oid, n.nspname, p.proname, p.provolatile, p.prokind, p.pronargs,"                      \
	" p.proargtypes[0] AS arg, p.proargdefaults,"                                                     \
	" p.prosrc,"                                                                                      \
	" " body ","                                                                               \
	" l.lanname"                                                                                      \
	" FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace JOIN pg_language"                  \
	" l ON l.oid = p.prolang"                                                                         \
	" WHERE p.oid >= 16384 AND n.nspname !~ '^pg_temp_'"                                              \
	" ), tree (kind, id, tree) AS ("                                                                  \
	" SELECT 'f', oid, proargdefaults::text FROM fun WHERE proargdefaults IS NOT NULL"                \
	" UNION ALL SELECT 'f', oid, prosqlbody::text FROM fun WHERE prosqlbody IS NOT"                   \
	" NULL AND provolatile = 'v'"                                                                     \
	" UNION ALL SELECT CASE ev_type WHEN '1' THEN 'r' ELSE 'w' END, ev_class,"                        \
	" ev_action::text || ev_qual::text FROM pg_rewrite JOIN rel ON rel.oid ="                         \
	" ev_class WHERE pg_rewrite.oid >= 16384"                                                         \
	" UNION ALL SELECT 'r', polrelid, polqual::text FROM pg_policy"                                   \
	" UNION ALL SELECT 'w', polrelid, concat(polqual::text, polwithcheck::text) FROM"                 \
	" pg_policy"                                                                                      \
	" UNION ALL SELECT 'w', adrelid, adbin::text FROM pg_attrdef JOIN rel ON rel.oid"                 \
	" = adrelid"                                                                                      \
	" UNION ALL SELECT 'w', tgrelid, tgqual::text FROM pg_trigger WHERE NOT"                          \
	" tgisinternal AND tgqual IS NOT NULL"                                                            \
	" UNION ALL SELECT 'd', contypid, conbin::text FROM pg_constraint WHERE contypid"                 \
	" <> 0 AND oid >= 16384"                                                                          \
	" ), found AS ("                                                                                  \
	" SELECT DISTINCT kind, id, m[1] AS what, m[2] AS ref"                                            \
	" FROM tree, regexp_matches(tree,"                                                                \
	" ':(funcid|opfuncid|aggfnoid|winfnoid|relid|resulttype|hasForUpdate|commandType) (\\d+|true)', 'g') AS "\
	"m"                                                                                               \
	" WHERE m[2] <> '0'"                                                                              \
	" ), ref (kind, id, rkind, rid) AS ("                                                             \
	" SELECT kind, id, CASE what WHEN 'relid' THEN 'r' WHEN 'resulttype' THEN 'd'"                    \
	" ELSE 'f' END, ref::oid"                                                                         \
	" FROM found WHERE what NOT IN ('hasForUpdate', 'commandType')"                                   \
	" UNION SELECT 'w', tgrelid, 'f', tgfoid FROM pg_trigger WHERE NOT tgisinternal"                  \
	" AND tgenabled <> 'D'"                                                                           \
	" UNION SELECT 'f', aggfnoid, 'f', f FROM pg_aggregate, unnest(ARRAY[aggtransfn,"                 \
	" aggfinalfn, aggmtransfn, aggminvtransfn, aggmfinalfn]::oid[]) AS f WHERE"                       \
	" aggfnoid >= 16384 AND f <> 0"                                                                   \
	" UNION SELECT 'o', oid, 'f', oprcode FROM pg_operator WHERE oid >= 16384 AND"                    \
	" oprcode <> 0"                                                                                   \
	" UNION SELECT 't', casttarget, 'f', castfunc FROM pg_cast WHERE oid >= 16384"                    \
	" AND castfunc <> 0 AND casttarget >= 16384"                                                      \
	" UNION SELECT 'd', oid, 'd', typbasetype FROM pg_type WHERE typtype = 'd' AND"                   \
	" oid >= 16384"                                                                                   \
	" UNION SELECT 'w', confrelid, 'w', conrelid FROM pg_constraint WHERE contype ="                  \
	" 'f' AND (confdeltype IN ('c','n','d') OR confupdtype IN ('c','n','d'))"                         \
	" UNION SELECT 'w', inhparent, 'w', inhrelid FROM pg_inherits JOIN rel ON"                        \
	" rel.oid = inhrelid WHERE relhastriggers OR relhasrules OR relrowsecurity"                       \
	" UNION SELECT 'r', inhparent, 'r', inhrelid FROM pg_inherits JOIN rel ON"                        \
	" rel.oid = inhrelid WHERE relpersistence = 'u' OR relkind = 'p'"                                 \
	" ), named (kind, oid, nspname, name) AS ("                                                       \
	" SELECT 'r', oid, nspname, relname FROM rel"                                                     \
	" UNION ALL SELECT 'w', oid, nspname, relname FROM rel"                                           \
	" UNION ALL SELECT 'f', oid, nspname, proname FROM fun"                                           \
	" UNION ALL SELECT 'f', oid, 'pg_catalog', proname FROM pg_proc WHERE oid <"                      \
	" 16384 AND provolatile <> 'i'"                                                                   \
	" UNION ALL SELECT 'o', o.oid, nspname, oprname FROM pg_operator o JOIN"                          \
	" pg_namespace n ON n.oid = oprnamespace WHERE o.oid >= 16384"                                    \
	" UNION ALL SELECT CASE WHEN k THEN 'd' ELSE 't' END, t.oid, nspname, typname"                    \
	" FROM pg_type t JOIN pg_namespace n ON n.oid = typnamespace, unnest(ARRAY[true,"                 \
	" false]) AS k WHERE typtype = 'd' OR NOT k"                                                      \
	" )"                                                                                              \
	" SELECT 'f' AS kind, nspname, proname AS name,"                                                  \
	" concat(CASE WHEN prokind = 'a' THEN 'i' ELSE provolatile::text END,"                            \
	" CASE WHEN prosqlbody IS NOT NULL THEN 'A' WHEN lanname IN ('sql', 'plpgsql',"                   \
	" 'c', 'internal') THEN upper(left(lanname, 1)) ELSE 'X' END,"                                    \
	" CASE WHEN pronargs = 1 AND (SELECT typtype IN ('c') OR typname IN ('record',"                   \
	" 'anyelement', 'any') FROM pg_type t WHERE t.oid = arg) THEN 'U' END) AS flags,"                 \
	" CASE WHEN provolatile = 'v' AND prokind <> 'a' AND prosqlbody IS NULL AND"                      \
	" lanname IN ('sql', 'plpgsql') AND length(prosrc) <= 32768 THEN prosrc END AS body,"             \
	" NULL AS rkind, NULL AS rnspname, NULL AS rname"                                                 \
	" FROM fun"                                                                                       \
	" UNION ALL SELECT 'r', nspname, relname, CASE relkind WHEN 'S' THEN 'N' ELSE"                    \
	" 'W' END, NULL, NULL, NULL, NULL"                                                                \
	" FROM rel WHERE relkind = 'S' OR relpersistence = 'u'"                                           \
	" UNION ALL SELECT 'o', nspname, name, CASE WHEN EXISTS (SELECT FROM pg_operator"                 \
	" o WHERE o.oid < 16384 AND o.oprname = name) THEN 'B' END, NULL, NULL, NULL,"                    \
	" NULL FROM named WHERE kind = 'o'"                                                               \
	" UNION ALL SELECT f.kind, nspname, name, CASE f.kind WHEN 'f' THEN 'WH' ELSE"                    \
	" 'W' END, NULL, NULL, NULL, NULL FROM found f JOIN named n ON n.kind = f.kind"                   \
	" AND n.oid = f.id"                                                                               \
	" WHERE (what = 'hasForUpdate' OR (what = 'commandType' AND ref <> '1')) AND"                     \
	" f.kind <> 'w'"                                                                                  \
	" UNION ALL SELECT a.kind, a.nspname, a.name, NULL, NULL, b.kind, b.nspname, b.name"              \
	" FROM ref JOIN named a ON a.kind = ref.kind AND a.oid = id JOIN named b ON"                      \
	" b.kind = rkind AND b.oid = rid"                                                                 \
	" WHERE id <> rid OR ref.kind <> rkind"                                                           \
	" LIMIT 250001"
/* clang-format on */

const char *catalog_sql_read(int version)
{
	return version >= 140000 ? READ("p.prosqlbody") : READ("NULL::text AS prosqlbody");
}
