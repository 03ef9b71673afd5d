/* What every unit test includes instead of cmocka.h, which needs its own includes before it. */
#ifndef KV_TESTS_UNIT_KV_TEST_H
#define KV_TESTS_UNIT_KV_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#endif
