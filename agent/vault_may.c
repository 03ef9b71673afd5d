/* Whether something may be given, used or recorded now: how a slot keeps keys, the clock,
 * the signer, and the room on the disk and in memory. */
#include "agent/vault.h"

#include "core/log.h"

enum kv_code vault_custody_reaches(struct vault *v, const char *slot, enum kv_custody_floor least,
                                   struct kv_err *err)
{
    const struct keeper *keeper = vault_keeper(v, slot);
    enum kv_custody_floor have = least;
    if (keeper != NULL && keeper->custody[0] != '\0' &&
        kv_custody_floor_parse(kv_bytes_str(keeper->custody), &have) && have < least) {
        return KV_REFUSE(err, KV_E_CUSTODY,
                         "custody of slot %s is '%s', the policy demands '%s' (custody-minimum)",
                         slot, keeper->custody, kv_custody_floor_word(least));
    }
    return KV_OK;
}

enum kv_code vault_custody_allows(struct vault *v, const char *slot, struct kv_err *err)
{
    return vault_custody_reaches(v, slot, kv_state_rules(v->state)->custody_minimum, err);
}

/* Asked of the file system once in a turn. */
static enum kv_code space_of(struct vault *v, const struct kv_log_space **out, struct kv_err *err)
{
    if (!v->space_known && kv_log_space(v->log, &v->space, err) != KV_OK) {
        return err->code;
    }
    /* room again, only the reserve is not full yet: who asks now need not come a second time */
    if (!v->space_known && v->space.low && !v->space.read_only &&
        v->space.free >= KV_LOG_FREE_MIN &&
        (kv_log_reserve_fill(v->log, err) != KV_OK ||
         kv_log_space(v->log, &v->space, err) != KV_OK)) {
        return err->code;
    }
    v->space_known = true;
    *out = &v->space;
    return KV_OK;
}

enum kv_code vault_may_give(struct vault *v, struct kv_err *err)
{
    const struct kv_log_space *space;
    (void)vault_now(v);
    if (kv_headroom(&v->headroom, err) != KV_OK) {
        return err->code;
    }
    if (v->started && vault_custody_allows(v, v->log_slot, err) != KV_OK) {
        return err->code;
    }
    if (v->clock_behind) {
        return KV_REFUSE(err, KV_E_CLOCK_BEHIND,
                         "the host's clock is behind the last record of the ledger");
    }
    if (v->signer_down || v->unsigned_tail) {
        return KV_REFUSE(err, KV_E_LEDGER_SIGNER, "%s", v->signer_detail);
    }
    if (space_of(v, &space, err) != KV_OK) {
        return err->code;
    }
    if (space->read_only) {
        return KV_REFUSE(err, KV_E_LEDGER_WRITE, "the ledger's file system is read-only");
    }
    if (space->low) {
        return KV_REFUSE(err, KV_E_LEDGER_DISK, "%llu MiB are left for the ledger",
                         (unsigned long long)(space->free >> 20));
    }
    return KV_OK;
}

/* Uses go on for a while without a signer; what is not covered then is bounded in number and age.
 */
enum kv_code vault_may_use(struct vault *v, struct kv_err *err)
{
    if (!v->signer_down || v->unsigned_tail) {
        return vault_may_give(v, err);
    }
    uint64_t open = kv_log_next_seq(v->log) - kv_log_covered(v->log);
    int64_t age = v->uncovered_since_ms == 0 ? 0 : kv_loop_clock_ms() - v->uncovered_since_ms;
    if (open >= KV_BATCH_RECORDS || age > KV_UNCOVERED_MS) {
        return KV_REFUSE(err, KV_E_LEDGER_SIGNER, "%s", v->signer_detail);
    }
    return kv_headroom(&v->headroom, err);
}

uint64_t vault_room_for(const struct vault *v, const struct kv_bytes *blobs, size_t count)
{
    uint64_t need = v->text.len == 0 ? 0 : v->text.len + VAULT_BLOCK;
    for (size_t i = 0; i < count; i++) {
        need += blobs[i].len + VAULT_BLOCK;
    }
    for (size_t i = 0; i < v->row_count; i++) {
        need += v->rows[i].value.len + VAULT_BLOCK;
    }
    bool fits = kv_log_segment_left(v->log) >= KV_FRAME_HEADER + KV_RECORD_MAX;
    return need + (fits ? 0 : KV_SEGMENT_SHORT);
}

/* A step more than `need` stays free, for checkpoints. */
enum kv_code vault_make_room(struct vault *v, uint64_t need, struct kv_err *err)
{
    const struct kv_log_space *space;
    enum kv_code code = space_of(v, &space, err);
    while (code == KV_OK && space->free < need + KV_LOG_RESERVE_STEP && space->reserve > 0 &&
           !space->read_only) {
        v->space_known = false; /* it changes */
        code = kv_log_reserve_give(v->log, err);
        code = code == KV_OK ? space_of(v, &space, err) : code;
    }
    if (code != KV_OK) {
        return code;
    }
    if (space->read_only) {
        return KV_REFUSE(err, KV_E_LEDGER_WRITE, "the ledger's file system is read-only");
    }
    return space->free >= need
               ? KV_OK
               : KV_REFUSE(err, KV_E_LEDGER_DISK, "the disk is full, and the reserve is used up");
}

enum kv_code vault_may_record(struct vault *v, struct kv_err *err)
{
    return vault_make_room(v, vault_room_for(v, NULL, 0), err);
}

static void alarm_of(struct vault *v, enum kv_event ev, const char *name, int64_t value)
{
    struct kv_err err;
    struct kv_record *rec = kv_record_new(ev);
    kv_record_info_int(rec, name, value);
    if (vault_record(v, rec, NULL, NULL, &err) != KV_OK) {
        kv_log_err(KV_LOG_ERROR, "alarm", &err);
    }
}

void vault_raise_alarms(struct vault *v)
{
    bool low = v->space_known ? v->space.low : v->disk_alarm;
    bool behind = v->now_ms != 0 ? v->clock_behind : v->clock_alarm;
    bool disk = low && !v->disk_alarm, clock = behind && !v->clock_alarm;
    v->disk_alarm = low;
    v->clock_alarm = behind;
    if (disk) {
        alarm_of(v, KV_EV_ALARM_DISK_LOW, "free", (int64_t)v->space.free);
    }
    if (clock) {
        alarm_of(v, KV_EV_ALARM_CLOCK_BEHIND, "behind", v->behind_ms);
    }
}
