/* unit.h - what each unit test includes first: cmocka, and what it lacks. */
/* SPDX-License-Identifier: MIT */
#ifndef MOONGATE_TESTS_UNIT_H
#define MOONGATE_TESTS_UNIT_H

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* cmocka 1.1 compares floats only, which cannot tell times of day apart. */
#define assert_near(a, b)                                                                          \
	do {                                                                                       \
		double near_a = (a), near_b = (b);                                                 \
		if (!(near_a == near_b || fabs(near_a - near_b) < 1e-6))                           \
			fail_msg("%s is %.9g, not %s: %.9g", #a, near_a, #b, near_b);              \
	} while (0)

#endif
