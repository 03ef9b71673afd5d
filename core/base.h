/* What every file may rely on: attributes, cleanup helpers, and the promise that assertions are on.
 */
#ifndef KV_CORE_BASE_H
#define KV_CORE_BASE_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef NDEBUG
#error "assertions stay on in every build: a broken key daemon stops, it does not go on signing"
#endif

#define KV_MUST_USE      __attribute__((warn_unused_result))
#define KV_PRINTF(f, a)  __attribute__((format(printf, f, a)))
#define KV_CLEANUP(func) __attribute__((cleanup(func)))
#define KV_COUNT(array)  (sizeof(array) / sizeof((array)[0]))
#define KV_UNUSED        __attribute__((unused))

/* Close *fd unless it is -1; for KV_CLEANUP. */
void kv_close_fdp(int *fd);
/* free(*p); for KV_CLEANUP of plain malloc'd memory. */
void kv_freep(void *p);

#endif
