/* A turn of the vault's loop is one commit: everything ready is decided in order, each record is
 * applied to the state as it is made, then one flush, then what rests on durable records leaves,
 * then what gives waits for its checkpoint (docs/ledger-format.md §6). */
#include "agent/vault.h"

#include "core/log.h"
#include "core/time.h"
#include "ledger/encode.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* Calls whose signatures are still awaited, and come before those of this turn: while they are made
 * this turn's records may wait for the next flush. Four signatures of a quick token take as long
 * as a flush. */
#define AWAITED_ENOUGH 4

_Noreturn void vault_fatal(struct vault *v, const struct kv_err *err)
{
    (void)v;
    kv_log_err(KV_LOG_ERROR, "fatal", err);
    kv_log_release();
    _exit(1); /* the supervisor starts all of us anew, and the ledger recovers */
}

int64_t vault_now(struct vault *v)
{
    if (v->now_ms == 0) {
        int64_t real = kv_time_now_ms();
        int64_t last = v->log == NULL ? 0 : kv_log_last_ts_ms(v->log);
        v->mono_us = kv_time_mono_us();
        v->behind_ms = last - real;
        v->clock_behind = v->behind_ms > KV_CLOCK_SLACK_MS;
        v->now_ms = real < last ? last : real;
    }
    return v->now_ms;
}

struct kv_moment vault_moment(struct vault *v)
{
    return (struct kv_moment){vault_now(v), kv_log_covered(v->log)};
}

static bool root_at(void *ctx, uint64_t size, struct kv_hash *out)
{
    const struct kv_log *log = ctx;
    if (size > kv_log_size(log)) {
        return false;
    }
    *out = kv_log_root(log, size);
    return true;
}

struct kv_log_view vault_log_view(const struct vault *v)
{
    uint64_t covered = kv_log_covered(v->log);
    /* a founding is one commit: its records may rest on each other */
    return (struct kv_log_view){root_at, v->log, covered, v->started ? covered : UINT64_MAX};
}

static bool is_use(enum kv_event ev)
{
    return ev == KV_EV_USE_SIGN || ev == KV_EV_USE_INTENT || ev == KV_EV_KSEF_SESSION;
}

/* Records that change nobody's permission. */
static bool is_traffic(enum kv_event ev)
{
    return is_use(ev) || ev == KV_EV_USE_OUTCOME || ev == KV_EV_USE_REFUSED ||
           ev == KV_EV_KSEF_CLOSE || ev == KV_EV_KSEF_RESIDUAL;
}

static enum kv_code judge(struct vault *v, struct kv_record *rec, const struct kv_bytes *blobs,
                          struct kv_err *err)
{
    struct kv_blobs set = {blobs, rec->doc_count};
    struct kv_log_view view = vault_log_view(v);
    if (kv_event_row(rec->ev)->class == KV_STRICT && vault_may_give(v, err) != KV_OK) {
        return err->code;
    }
    if (is_use(rec->ev) && vault_may_use(v, err) != KV_OK) {
        return err->code;
    }
    if (v->clock_behind && rec->ev == KV_EV_REQUEST_OPEN) {
        return KV_REFUSE(err, KV_E_CLOCK_BEHIND,
                         "nothing new is asked for before the clock is right");
    }
    rec->seq = kv_log_next_seq(v->log);
    rec->ts_ms = vault_now(v);
    rec->mono_us = v->mono_us;
    memcpy(rec->boot, v->boot, sizeof rec->boot);
    rec->has_prev = rec->seq > 0;
    if (kv_record_check(rec, err) != KV_OK) {
        return err->code; /* what could not be written must not change the state */
    }
    if (vault_make_room(v, vault_room_for(v, blobs, rec->doc_count), err) != KV_OK) {
        return err->code;
    }
    return kv_state_apply(v->state, rec, &set, &view, err);
}

/* One line for each record: ids, never what people wrote. */
static void log_record(const struct kv_record *rec)
{
    char text[768];
    size_t len = 0;
    const struct {
        const char *name, *value;
    } ids[] = {{"who", rec->who_id},
               {"person", rec->person},
               {"req", rec->req},
               {"grant", rec->grant},
               {"integ", rec->integ},
               {"cred", rec->cred},
               {"op", rec->op == KV_OP_NONE ? "" : kv_op_word(rec->op)},
               {"ctx", rec->ctx},
               {"err", rec->err}};
    text[0] = '\0';
    for (size_t i = 0; i < KV_COUNT(ids); i++) {
        if (ids[i].value[0] != '\0') {
            int n = snprintf(text + len, sizeof text - len, " %s=%s", ids[i].name, ids[i].value);
            len += n > 0 && (size_t)n < sizeof text - len ? (size_t)n : 0;
        }
    }
    text[len] = '\0';
    kv_log(KV_LOG_INFO, "record", "seq=%llu ev=%s%s", (unsigned long long)rec->seq,
           kv_event_word(rec->ev), text);
}

enum kv_code vault_record(struct vault *v, struct kv_record *rec, const struct kv_bytes *blobs,
                          uint64_t *seq, struct kv_err *err)
{
    enum kv_code code = judge(v, rec, blobs, err);
    if (code != KV_OK) {
        kv_record_free(rec);
        return code;
    }
    /* The state has taken the record: from here on only the ledger can fail, and then we end. */
    if ((v->row_count > 0 && kv_log_put_rows(v->log, v->rows, v->row_count, err) != KV_OK) ||
        (v->text.len > 0 && kv_log_put_blobs(v->log, &v->text, 1, err) != KV_OK) ||
        kv_log_put_blobs(v->log, blobs, rec->doc_count, err) != KV_OK ||
        kv_log_append(v->log, rec, err) != KV_OK) {
        vault_fatal(v, err);
    }
    if (seq != NULL) {
        *seq = rec->seq;
    }
    v->dirty = true;
    v->now = v->now || rec->ev != KV_EV_USE_SIGN;
    v->rules_changed = v->rules_changed || !is_traffic(rec->ev);
    log_record(rec);
    kv_record_free(rec);
    return KV_OK;
}

static void push(struct effects *list, uint64_t seq, effect_fn *fn, void *ctx)
{
    struct effect *effect = malloc(sizeof *effect);
    if (effect == NULL) {
        abort();
    }
    *effect = (struct effect){NULL, seq, fn, ctx};
    if (list->end == NULL) {
        list->end = &list->first;
    }
    *list->end = effect;
    list->end = &effect->next;
}

void vault_after_flush(struct vault *v, effect_fn *fn, void *ctx)
{
    push(&v->on_flush, 0, fn, ctx);
    vault_flush_now(v);
}

void vault_after_flush_or_later(struct vault *v, effect_fn *fn, void *ctx)
{
    push(&v->on_flush, 0, fn, ctx);
    v->dirty = true;
}

void vault_flush_now(struct vault *v)
{
    v->dirty = true;
    v->now = true;
}

void vault_after_cover(struct vault *v, uint64_t seq, effect_fn *fn, void *ctx)
{
    push(&v->on_cover, seq, fn, ctx);
    vault_flush_now(v);
}

static void remove_of(struct effects *list, const void *ctx)
{
    struct effect **at = &list->first;
    while (*at != NULL) {
        struct effect *effect = *at;
        if (effect->ctx == ctx) {
            *at = effect->next;
            free(effect);
        } else {
            at = &effect->next;
        }
    }
    list->end = at;
}

void vault_drop_effects(struct vault *v, const void *ctx)
{
    remove_of(&v->on_flush, ctx);
    remove_of(&v->on_cover, ctx);
}

/* Run the effects of `list` whose record is below `size`; their callbacks may add new ones. */
static void release(struct effects *list, uint64_t size, enum kv_code code, const char *detail)
{
    struct effects ready = {NULL, NULL};
    struct effect **at = &list->first;
    while (*at != NULL) {
        struct effect *effect = *at;
        if (effect->seq < size) {
            *at = effect->next;
            effect->next = NULL;
            if (ready.end == NULL) {
                ready.end = &ready.first;
            }
            *ready.end = effect;
            ready.end = &effect->next;
        } else {
            at = &effect->next;
        }
    }
    list->end = at;
    while (ready.first != NULL) {
        struct effect *effect = ready.first;
        ready.first = effect->next;
        effect->fn(effect->ctx, code, detail);
        free(effect);
    }
}

void vault_signer_why(struct vault *v, enum kv_code code, const char *detail)
{
    bool disk = code == KV_E_LEDGER_DISK || code == KV_E_LEDGER_WRITE;
    int n = snprintf(v->signer_detail, sizeof v->signer_detail, "%s: %.150s",
                     disk ? "the checkpoint cannot be written" : "the ledger's key does not sign",
                     detail);
    (void)n; /* cut is fine */
}

/* `again`: the slot is there and failed, so it is tried again in a while; a slot that is not there
 * tells when it is. */
static void signer_failed(struct vault *v, enum kv_code code, const char *detail, bool again)
{
    struct kv_err err;
    vault_signer_why(v, code, detail);
    v->signer_told = v->signer_told || again;
    if (!v->signer_down) {
        v->signer_down = true;
        kv_log(KV_LOG_ERROR, "signer-down", "code=%s detail=\"%s\"", kv_code_word(code), detail);
        struct kv_record *rec = kv_record_new(KV_EV_ALARM_SIGNER_DOWN);
        kv_record_set(rec, KV_RK_ERR, kv_code_word(code));
        if (vault_record(v, rec, NULL, NULL, &err) != KV_OK) {
            kv_log_err(KV_LOG_ERROR, "alarm", &err);
        }
    }
    release(&v->on_cover, UINT64_MAX, KV_E_LEDGER_SIGNER, v->signer_detail);
    if (again) {
        kv_timer_arm(v->sign_timer, KV_SIGN_RETRY_MS);
    }
}

static void on_signature(void *ctx, const struct kv_answer_frame *answer)
{
    static const struct kv_field_spec specs[] = {
        {"signature", KV_FIELD_OCTETS, KV_ECDSA_RS_LEN, true, NULL},
        {NULL, KV_FIELD_END, 0, false, NULL}};
    struct vault *v = ctx;
    struct kv_field fields[KV_FIELDS_MAX];
    struct kv_err err;
    v->signing = false;
    if (answer->code != KV_OK) {
        signer_failed(v, answer->code, answer->detail, true);
        return;
    }
    enum kv_code code = kv_message_read(answer->fields, specs, fields, &err);
    if (code == KV_OK && fields[0].value.len != KV_ECDSA_RS_LEN) {
        code = KV_REFUSE(&err, KV_E_PROTOCOL, "a checkpoint's signature has 64 bytes");
    }
    code = code == KV_OK ? vault_make_room(v, VAULT_PUBLISH_ROOM, &err) : code;
    if (code != KV_OK) {
        signer_failed(v, code, err.msg, true);
        return;
    }
    code = kv_log_publish(v->log, v->signing_size, fields[0].value.ptr, &err);
    if (code == KV_E_LEDGER_WRITE) {
        vault_fatal(v, &err);
    }
    if (code != KV_OK) {
        signer_failed(v, code, err.msg, true);
        return;
    }
    v->unsigned_tail = false;
    if (v->signer_down) {
        v->signer_down = false;
        kv_log(KV_LOG_INFO, "signer-up", "size=%llu", (unsigned long long)v->signing_size);
    }
    v->uncovered_since_ms =
        kv_log_covered(v->log) == kv_log_next_seq(v->log) ? 0 : kv_loop_clock_ms();
    release(&v->on_cover, kv_log_covered(v->log), KV_OK, "");
    vault_flush_now(v); /* what rested on it may be due now */
}

static void sign(struct vault *v)
{
    struct kv_err err;
    struct kv_buf body;
    struct keeper *keeper = vault_keeper(v, v->log_slot);
    uint64_t size = kv_log_size(v->log);
    if (v->signing || size == kv_log_covered(v->log)) {
        return;
    }
    if (keeper != NULL && keeper->up && !keeper->ready) {
        kv_timer_arm(v->sign_timer, KV_SIGN_RETRY_MS); /* it tells in a moment, and is asked then */
        return;
    }
    if (keeper == NULL || !keeper->ready) {
        signer_failed(v, keeper == NULL ? KV_E_TOKEN_ABSENT : keeper->code,
                      keeper == NULL ? "its slot is not there" : keeper->detail, false);
        return;
    }
    struct kv_hash root = kv_log_root(v->log, size);
    char label[KV_LABEL_LEN];
    vault_key_label(v, NULL, label);
    kv_buf_init(&body, 1024);
    kv_message_str(&body, "label", label);
    kv_message_str(&body, "origin", v->origin);
    kv_message_number(&body, "size", size);
    kv_message_octets(&body, "root", kv_bytes(root.b, sizeof root.b));
    v->signing = true;
    v->signing_size = size;
    if (kv_channel_ask(keeper->channel, KV_FRAME_SIGN_CHECKPOINT, kv_buf_bytes(&body), -1,
                       KV_SIGN_TIMEOUT_MS, on_signature, v, &err) != KV_OK) {
        v->signing = false;
        signer_failed(v, err.code, err.msg, true);
    }
    kv_buf_clear(&body);
}

void vault_want_checkpoint(struct vault *v)
{
    kv_timer_arm(v->sign_timer, 0);
}

/* A checkpoint is due when something strict waits, or enough is uncovered, or for long enough. */
static void checkpoint_if_due(struct vault *v)
{
    uint64_t open = kv_log_size(v->log) - kv_log_covered(v->log);
    if (open == 0) {
        return;
    }
    int64_t now = kv_loop_clock_ms();
    if (v->uncovered_since_ms == 0) {
        v->uncovered_since_ms = now;
    }
    if (v->on_cover.first != NULL || open >= KV_BATCH_RECORDS ||
        now - v->uncovered_since_ms >= KV_BATCH_WAIT_MS) {
        if (!v->signer_down) {
            sign(v);
        }
    } else if (!kv_timer_armed(v->sign_timer)) {
        kv_timer_arm(v->sign_timer, KV_BATCH_WAIT_MS - (now - v->uncovered_since_ms));
    }
}

/* A good ledger, or one that is being founded: it counts from its first checkpoint on. */
static bool writable(const struct vault *v)
{
    return v->log != NULL && (v->started || kv_log_status(v->log)->state == KV_LOG_GOOD);
}

void vault_sign_timer(void *vault)
{
    struct vault *v = vault;
    if (writable(v)) {
        sign(v);
    }
}

/* Next segment ahead of need, the reserve filled up again, and a look whether our files are still
 * ours: at most once a second, and only when something is written. */
static void tend(struct vault *v)
{
    struct kv_err err;
    int64_t now = kv_loop_clock_ms();
    if (now - v->tended_ms < 1000) {
        return;
    }
    v->tended_ms = now;
    enum kv_code code = kv_log_tend(v->log, &err);
    if (code == KV_E_LEDGER_SAFE) {
        vault_fatal(v, &err); /* the start finds the damage and enters safe mode */
    }
    code = code != KV_OK ? code : kv_log_reserve_fill(v->log, &err);
    if (code != KV_OK) {
        kv_log_err(KV_LOG_WARNING, "ledger", &err);
    }
}

/* The keepers sign while the disk writes: their answers wait for it, not their work. */
static void ask_keepers(struct vault *v)
{
    for (size_t i = 0; i < v->keeper_count; i++) {
        if (v->keepers[i].channel != NULL) {
            kv_channel_flush(v->keepers[i].channel);
        }
    }
}

/* Whether the records of this turn are on disk nobody knows: only a new start tells. Who waits is
 * told why, not only that we are gone. */
static _Noreturn void not_durable(struct vault *v, const struct kv_err *err)
{
    vault_calls_clear(v, err->code, err->msg);
    if (v->gate != NULL) {
        kv_channel_flush(v->gate);
    }
    vault_fatal(v, err);
}

void vault_turn_end(void *vault)
{
    struct vault *v = vault;
    struct kv_err err;
    vault_inbox_begin(v);
    if (v->started && writable(v)) {
        vault_raise_alarms(v);
    }
    while (v->dirty && writable(v)) { /* effects may make records of their own */
        v->dirty = false;
        vault_work_due(v);
        if (v->rules_changed) {
            v->rules_changed = false;
            vault_sessions_check(v);
        }
        ask_keepers(v);
        if (!v->now && v->awaited >= AWAITED_ENOUGH) {
            v->dirty = true;
            break;
        }
        v->now = false;
        if (kv_log_flush(v->log, &err) != KV_OK) {
            not_durable(v, &err);
        }
        tend(v);
        release(&v->on_flush, UINT64_MAX, KV_OK, "");
    }
    if (writable(v)) {
        checkpoint_if_due(v);
    }
    v->now_ms = 0;
    v->space_known = false;
    v->headroom.known = false;
    if (v->gate != NULL) {
        kv_channel_flush(v->gate); /* who waits comes before the log's reader */
    }
    kv_log_release();
}
