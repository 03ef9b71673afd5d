/* Times: int64 milliseconds since the epoch, UTC. Texts are RFC 3339 with `Z`: seconds in
 * statements, milliseconds in records. Years 1970 to 9999. */
#ifndef KV_CORE_TIME_H
#define KV_CORE_TIME_H

#include "core/bytes.h"

#define KV_SECOND_MS INT64_C(1000)
#define KV_MINUTE_MS (60 * KV_SECOND_MS)
#define KV_HOUR_MS   (60 * KV_MINUTE_MS)
#define KV_DAY_MS    (24 * KV_HOUR_MS)
#define KV_TIME_MAX  INT64_MAX

#define KV_TIME_S_LEN  21 /* 2026-01-07T08:00:00Z and NUL */
#define KV_TIME_MS_LEN 25 /* 2026-01-07T08:00:00.000Z and NUL */

/* CLOCK_REALTIME now. Only programs call this; decisions get `now` as a value. */
int64_t kv_time_now_ms(void);
/* CLOCK_BOOTTIME in µs. */
uint64_t kv_time_mono_us(void);
/* Write the time; seconds are truncated. `ms` outside the years above is clamped to them. */
void kv_time_format_s(int64_t ms, char out[static KV_TIME_S_LEN]);
void kv_time_format_ms(int64_t ms, char out[static KV_TIME_MS_LEN]);
/* Exactly the forms above; the date must exist; no leap seconds. */
bool kv_time_parse_s(struct kv_bytes in, int64_t *ms);
bool kv_time_parse_ms(struct kv_bytes in, int64_t *ms);
/* A date, 2026-01-07. */
bool kv_date_parse(struct kv_bytes in, int64_t *ms);
/* Any RFC 3339 time: `Z` or ±hh:mm, 0 to 9 digits of fraction (KSeF's answers). */
bool kv_time_parse_any(struct kv_bytes in, int64_t *ms);

#endif
