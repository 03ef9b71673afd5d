/* What every unit test includes instead of cmocka.h, which needs its own includes before it. */
#ifndef KV_TESTS_UNIT_KV_TEST_H
#define KV_TESTS_UNIT_KV_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

/* Where each step takes ten times as long, a test of many alike tries fewer of them: all are tried
 * by the build that users run. */
#if defined(__SANITIZE_ADDRESS__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

#endif
