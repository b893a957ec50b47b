/* test_lexer.c - tokens begin and end where PostgreSQL's scanner has them. */
/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include "sql/lexer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* "n:select i:1": a letter per kind, and the text. The lexer gets a copy without a NUL behind it,
 * so that the sanitizer sees a read too far. */
static void expect(const char *sql, bool standard_strings, const char *expected)
{
	static const char letters[] = {
	        [TOKEN_NAME] = 'n',      [TOKEN_QUOTED] = 'q',   [TOKEN_INTEGER] = 'i',
	        [TOKEN_NUMBER] = 'd',    [TOKEN_STRING] = 's',   [TOKEN_BITS] = 'b',
	        [TOKEN_HEX] = 'x',       [TOKEN_NATIONAL] = 'N', [TOKEN_UNICODE] = 'u',
	        [TOKEN_PARAMETER] = 'p', [TOKEN_OPERATOR] = 'o', [TOKEN_JUNK] = '!'};
	char found[512] = "", *text = NULL;
	size_t size = strlen(sql);
	if (size)
		text = memcpy(malloc(size), sql, size);
	struct lexer l = lexer_init(text, size, standard_strings);
	for (size_t used = 0;;) {
		struct token t = lexer_next(&l);
		if (t.kind == TOKEN_END)
			break;
		used += (size_t)snprintf(found + used, sizeof(found) - used, "%s%c:%.*s",
		                         used ? " " : "", letters[t.kind], (int)t.size,
		                         text + t.start);
	}
	if (l.odd)
		strcat(found, " odd");
	free(text);
	assert_string_equal(found, expected);
}

static void standard(const char *sql, const char *expected)
{
	expect(sql, true, expected);
}

static void names_and_keywords(void **state)
{
	(void)state;
	standard("", "");
	standard("select a_1$ FROM _b", "n:select n:a_1$ n:FROM n:_b");
	standard("\"a\"\"b\"\"\" \"C d\"", "q:\"a\"\"b\"\"\" q:\"C d\"");
	standard("\xc3\xa4"
	         "b",
	         "n:\xc3\xa4"
	         "b");
	standard("e x n b u& u&1", "n:e n:x n:n n:b n:u o:& n:u o:& i:1");
	standard("\"\"", "q:\"\" odd");
	standard("\"a", "q:\"a odd");
}

static void numbers(void **state)
{
	(void)state;
	standard("1 12.5 .5 5. 1e5 1.5E-3 1e+7", "i:1 d:12.5 d:.5 d:5. d:1e5 d:1.5E-3 d:1e+7");
	standard("2147483647 2147483648 00002147483647 0",
	         "i:2147483647 d:2147483648 i:00002147483647 i:0");
	standard("1..2", "i:1 o:.. i:2");
	standard("1.2.3", "d:1.2 d:.3");
	standard("a.5", "n:a d:.5");
	standard("1a", "i:1 n:a odd");
	standard("1e", "i:1 n:e odd");
	standard("0x1F", "i:0 n:x1F odd");
	standard("$1 $23", "p:$1 p:$23");
	standard("$1a", "p:$1 n:a odd");
}

static void strings_with_standard_backslashes(void **state)
{
	(void)state;
	standard("'a''b' 'c\\' 'd'", "s:'a''b' s:'c\\' s:'d'");
	standard("E'a\\'b' e'\\\\' c", "s:E'a\\'b' s:e'\\\\' n:c");
	standard("b'01' X'1f' n'x'", "b:b'01' x:X'1f' N:n s:'x'");
	standard("U&'\\0061' u&\"x\"", "u:U&'\\0061' u:u&\"x\"");
	standard("'a", "s:'a odd");
	standard("E'a\\", "s:E'a\\ odd");
	standard("'", "s:' odd");
}

static void strings_with_escaping_backslashes(void **state)
{
	(void)state;
	expect("'a\\'b' 'c\\\\' d", false, "s:'a\\'b' s:'c\\\\' n:d");
	expect("$$a\\$$ b", false, "s:$$a\\$$ n:b");
	expect("\"a\\\" b", false, "q:\"a\\\" n:b");
	expect("b'\\' c", false, "b:b'\\' n:c");
}

static void escapes_that_may_be_invalid_are_odd(void **state)
{
	(void)state;
	standard("E'\\n\\t\\''", "s:E'\\n\\t\\''");
	standard("E'\\x'", "s:E'\\x' odd");
	standard("E'\\0'", "s:E'\\0' odd");
	standard("E'\\u00'", "s:E'\\u00' odd");
	standard("'\\x'", "s:'\\x'");
}

static void strings_go_on_in_the_next_line(void **state)
{
	(void)state;
	standard("'a'\n'b' c", "s:'a'\n'b' n:c");
	standard("'a' 'b'", "s:'a' s:'b'");
	standard("'a' -- c\n  'b'", "s:'a' -- c\n  'b'");
	standard("'a'\n-- c\n'b'", "s:'a'\n-- c\n'b'");
	standard("'a' -- c", "s:'a'");
	standard("'a' /* \n */ 'b'", "s:'a' s:'b'");
	standard("E'a'\n'b\\'' c", "s:E'a'\n'b\\'' n:c");
	standard("'a'\n", "s:'a'");
	standard("b'0'\n'1'", "b:b'0'\n'1'");
}

static void dollar_quotes(void **state)
{
	(void)state;
	standard("$$a'b$$ $x$ $$ $y$ $x$", "s:$$a'b$$ s:$x$ $$ $y$ $x$");
	standard("a$$b$$", "n:a$$b$$");
	standard("$a$ $b$a$", "s:$a$ $b$a$");
	standard("$$a", "s:$$a odd");
	standard("$ a", "!:$ n:a odd");
	standard("$a b", "!:$ n:a n:b odd");
	standard("$", "!:$ odd");
}

static void operators(void **state)
{
	(void)state;
	standard("a+b*-c", "n:a o:+ n:b o:* o:- n:c");
	standard("=- =@- <-> ->> @-", "o:= o:- o:=@- o:<-> o:->> o:@-");
	standard("+- <> >= != => := :: .. a.b[1]",
	         "o:+ o:- o:<> o:>= o:!= o:=> o::= o::: o:.. n:a o:. n:b o:[ i:1 o:]");
	standard("a*/* c */b", "n:a o:* n:b");
	standard("a+--c\nb", "n:a o:+ n:b");
	standard("<--c", "o:<");
	standard("(a,b);", "o:( n:a o:, n:b o:) o:;");
	standard("\x01 a", "!:\x01 n:a odd");
	standard("{", "!:{ odd");
}

static void comments(void **state)
{
	(void)state;
	standard("a/*b*/c--d\re\n--f", "n:a n:c n:e");
	standard("/*a/*b*/c*/d", "n:d");
	standard("/*/**/a*/b", "n:b");
	standard("/* ' */ a -- \"\nb", "n:a n:b");
	standard("/*/ a */b", "n:b");
	standard("a /*", "n:a odd");
	standard("a /*/", "n:a odd");
	standard("a --", "n:a");
	standard("a /* /* */", "n:a odd");
}

struct noted {
	char text[128];
};

static void note(const char *text, size_t size, void *arg)
{
	struct noted *noted = arg;
	strncat(noted->text, text, size);
	strcat(noted->text, "|");
}

static void tells_of_comments(void **state)
{
	(void)state;
	static const char sql[] = "/*a*/ b -- c\n /* d /* e */ */ f /**/ --";
	struct noted noted = {""};
	struct lexer l = lexer_init(sql, strlen(sql), true);
	while (lexer_next_commented(&l, note, &noted).kind != TOKEN_END)
		continue;
	assert_string_equal(noted.text, "a| c| d /* e */ |||");
}

static uint64_t operator_cost(const char *unit, size_t count)
{
	size_t size = strlen(unit);
	char *text = malloc(count * size);
	for (size_t i = 0; i < count; i++)
		memcpy(text + i * size, unit, size);
	struct lexer l = lexer_init(text, count * size, true);
	while (lexer_next(&l).kind != TOKEN_END)
		continue;
	free(text);
	return l.operator_cost;
}

static void runs_of_operator_characters_cost_their_square(void **state)
{
	(void)state;
	assert_true(operator_cost("a = b ", 1000) < 2000);
	assert_true(operator_cost("/* ======== */ ", 100) < 2000);
	assert_true(operator_cost("+", 4000) >= 8000000);
	assert_true(operator_cost("/*", 2000) >= 4000000);
	assert_true(operator_cost("+-", 2000) >= 8000000);
}

static void tells_words_and_names(void **state)
{
	(void)state;
	static const char sql[] = "SeLect \"select\" selec \"Select\" (";
	struct lexer l = lexer_init(sql, strlen(sql), true);
	struct token t = lexer_next(&l);
	assert_true(token_is_word(&l, t, "select"));
	assert_true(token_is_name(&l, t, "select"));
	t = lexer_next(&l);
	assert_false(token_is_word(&l, t, "select"));
	assert_true(token_is_name(&l, t, "select"));
	assert_false(token_is_word(&l, lexer_next(&l), "select"));
	assert_false(token_is_name(&l, lexer_next(&l), "select"));
	assert_true(token_is(&l, lexer_next(&l), '('));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(names_and_keywords),
	        cmocka_unit_test(numbers),
	        cmocka_unit_test(strings_with_standard_backslashes),
	        cmocka_unit_test(strings_with_escaping_backslashes),
	        cmocka_unit_test(escapes_that_may_be_invalid_are_odd),
	        cmocka_unit_test(strings_go_on_in_the_next_line),
	        cmocka_unit_test(dollar_quotes),
	        cmocka_unit_test(operators),
	        cmocka_unit_test(comments),
	        cmocka_unit_test(tells_of_comments),
	        cmocka_unit_test(runs_of_operator_characters_cost_their_square),
	        cmocka_unit_test(tells_words_and_names),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
