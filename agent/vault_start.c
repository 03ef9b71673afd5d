/* From a folder to a serving vault: replay, agent.start, outcomes of what a crash left open. */
#include "agent/vault.h"

#include "core/log.h"
#include "core/time.h"

#include <stdio.h>
#include <stdlib.h>

#define REPLAY_RECORDS 256  /* read in one turn: some milliseconds */
#define ALIVE_MS       2000 /* well below the supervisor's deadline */

static bool root_at(void *ctx, uint64_t size, struct kv_hash *out)
{
    const struct kv_tree *tree = ctx;
    if (size > kv_tree_size(tree)) {
        return false;
    }
    *out = kv_tree_root(tree, size);
    return true;
}

static enum kv_code replay(void *state, const struct kv_entry *entry, struct kv_err *err)
{
    struct kv_log_view view = {
        .root_at = root_at,
        .ctx = (void *)(uintptr_t)entry->tree, /* only read */
        .size = entry->covered,
        .covered = UINT64_MAX,
    };
    return kv_state_apply(state, entry->rec, &entry->blobs, &view, err);
}

static void log_opened(const struct vault *v)
{
    static const char *const words[] = {[KV_LOG_DAMAGED] = "damaged",
                                        [KV_LOG_NEWER] = "newer",
                                        [KV_LOG_EMPTY] = "empty",
                                        [KV_LOG_GOOD] = "good"};
    const struct kv_log_status *st = kv_log_status(v->log);
    kv_log(st->state == KV_LOG_DAMAGED ? KV_LOG_ERROR : KV_LOG_INFO, "ledger",
           "state=%s records=%llu covered=%llu detail=\"%s\"", words[st->state],
           (unsigned long long)st->size, (unsigned long long)st->covered, st->bad_what);
}

/* A disk that is full or cannot be written is not our end: callers are told, and it is tried again
 * until it can be. */
static void hold(struct vault *v, const struct kv_err *err)
{
    if (v->held.code == KV_OK) {
        kv_log_err(KV_LOG_ERROR, "held", err);
    }
    v->held = *err;
    vault_configured(v);
    kv_timer_arm(v->open_timer, KV_OPEN_RETRY_MS);
}

static void begin(struct vault *v)
{
    vault_begin_serving(v);
    vault_ask_log_key(v);
}

/* All is read: what calls are answered from changes at once. */
static void opened(struct vault *v)
{
    struct kv_err err;
    kv_log_opening_freep(&v->opening);
    kv_state_free(v->state);
    v->state = v->replayed;
    v->replayed = NULL;
    log_opened(v);
    const struct kv_log_status *st = kv_log_status(v->log);
    if (st->state == KV_LOG_GOOD && strcmp(kv_state_vault(v->state), v->name) != 0) {
        enum kv_code code = KV_REFUSE(&err, KV_E_CONFIG, "the ledger is that of vault %.100s",
                                      kv_state_vault(v->state));
        (void)code; /* fatal tells it */
        vault_fatal(v, &err);
    }
    /* Until what a crash left uncovered is signed, nothing is given or used. */
    v->unsigned_tail = st->state == KV_LOG_GOOD;
    memcpy(v->signer_detail, "the ledger's end is not signed yet", 35);
    v->now_ms = 0; /* read before the last record's time was known */
    vault_configured(v);
    begin(v);
}

/* The ledger cannot be opened: of the disk that is held, of all else we end. */
static void not_opened(struct vault *v, const struct kv_err *err)
{
    if (err->code != KV_E_IO && err->code != KV_E_LEDGER_WRITE && err->code != KV_E_LEDGER_DISK) {
        vault_fatal(v, err);
    }
    kv_log_opening_freep(&v->opening);
    kv_state_free(v->replayed);
    v->replayed = NULL;
    hold(v, err);
}

/* A large ledger takes minutes. Without a sign of life the supervisor would think that we hang. */
static void tell_alive(struct vault *v)
{
    struct kv_err err;
    int64_t now = kv_loop_clock_ms();
    if (now - v->alive_ms < ALIVE_MS) {
        return;
    }
    v->alive_ms = now;
    struct kv_log_progress at = kv_log_open_progress(v->opening);
    kv_log(KV_LOG_INFO, "replay", "records=%llu of=%llu", (unsigned long long)at.read,
           (unsigned long long)at.of);
    if (kv_channel_send(v->supervisor, KV_FRAME_STARTING, KV_BYTES_NULL, -1, &err) != KV_OK) {
        kv_log_err(KV_LOG_ERROR, "replay", &err);
    }
}

static void on_replay(void *ctx)
{
    struct vault *v = ctx;
    struct kv_err err;
    if (kv_log_open_step(v->opening, REPLAY_RECORDS, &v->log, &err) != KV_OK) {
        not_opened(v, &err);
    } else if (v->log != NULL) {
        opened(v);
    } else {
        tell_alive(v);
        kv_timer_arm(v->replay_timer, 0);
    }
}

void vault_open_ledger(void *vault)
{
    struct vault *v = vault;
    struct kv_err err;
    if (v->log != NULL) { /* only its first record could not be written */
        begin(v);
        return;
    }
    if (v->state == NULL) {
        v->state = kv_state_new();
        v->replay_timer = kv_timer_new(v->loop, on_replay, v);
    }
    v->replayed = kv_state_new();
    v->alive_ms = kv_loop_clock_ms();
    if (kv_log_open_begin(v->ledger_dir, NULL, NULL, replay, v->replayed, &v->opening, &err) !=
        KV_OK) {
        not_opened(v, &err);
        return;
    }
    kv_timer_arm(v->replay_timer, 0);
}

void vault_reading(const struct vault *v, char out[static KV_READING_LEN])
{
    struct kv_log_progress at = {0, 0};
    if (v->opening != NULL) {
        at = kv_log_open_progress(v->opening);
    }
    int n = snprintf(out, KV_READING_LEN, "the ledger is being read: %llu of %llu records",
                     (unsigned long long)at.read, (unsigned long long)at.of);
    assert(n > 0 && n < KV_READING_LEN);
}

static void add_map(struct kv_record *rec, const char *name, struct kv_bytes message)
{
    struct kv_cursor cur = kv_cursor(message);
    struct kv_field field;
    kv_record_info_map_str(rec, name, NULL, NULL);
    while (kv_message_next(&cur, &field)) {
        char key[64], value[128];
        struct kv_field as_name = {.value = field.name};
        if (kv_field_copy(&as_name, key, sizeof key) &&
            kv_field_copy(&field, value, sizeof value)) {
            kv_record_info_map_str(rec, name, key, value);
        }
    }
}

static void write_start(struct vault *v)
{
    struct kv_err err;
    char policy[KV_HASH_BASE64_LEN];
    struct kv_record *rec = kv_record_new(KV_EV_AGENT_START);
    kv_hash_base64(kv_state_policy(v->state), policy);
    kv_record_info_str(rec, "version", KV_VERSION);
    add_map(rec, "programs", kv_buf_bytes(&v->programs));
    add_map(rec, "modules", kv_buf_bytes(&v->modules));
    kv_record_info_str(rec, "config", v->config_sha256);
    kv_record_info_str(rec, "policy", policy);
    kv_record_info_map_str(rec, "custody", NULL, NULL);
    for (size_t i = 0; i < v->keeper_count; i++) {
        if (v->keepers[i].custody[0] != '\0') {
            kv_record_info_map_str(rec, "custody", v->keepers[i].slot, v->keepers[i].custody);
        }
    }
    kv_record_info_int(rec, "batch", KV_BATCH_RECORDS);
    kv_record_info_int(rec, "wait", KV_BATCH_WAIT_MS);
    if (vault_record(v, rec, NULL, NULL, &err) != KV_OK) {
        vault_fatal(v, &err);
    }
}

static void write_recovered(struct vault *v, const struct kv_log_recovered *r)
{
    struct kv_err err;
    if (r->why == KV_WHY_NONE) {
        return;
    }
    struct kv_record *rec = kv_record_new(KV_EV_LOG_RECOVERED);
    kv_record_info_int(rec, "from", (int64_t)r->from);
    kv_record_info_int(rec, "frames", (int64_t)r->frames);
    kv_record_info_int(rec, "bytes", (int64_t)r->bytes);
    kv_record_info_str(rec, "why", kv_why_word(r->why));
    if (vault_record(v, rec, NULL, NULL, &err) != KV_OK) {
        vault_fatal(v, &err);
    }
}

/* Nobody knows how these ended. */
static void write_outcomes(struct vault *v)
{
    struct kv_err err;
    while (kv_state_intent_count(v->state) > 0) {
        struct kv_record *rec = kv_record_new(KV_EV_USE_OUTCOME);
        kv_record_set_of(rec, kv_state_intent_at(v->state, 0)->seq);
        kv_record_set_out(rec, KV_OUT_UNKNOWN);
        if (vault_record(v, rec, NULL, NULL, &err) != KV_OK) {
            vault_fatal(v, &err);
        }
    }
}

void vault_started_records(struct vault *v)
{
    struct kv_log_recovered recovered = kv_log_status(v->log)->recovered;
    write_start(v);
    write_recovered(v, &recovered);
    write_outcomes(v);
    v->started = true;
    vault_sessions_end_orphans(v);
    kv_log(KV_LOG_INFO, "serving", "vault=%s records=%llu", v->name,
           (unsigned long long)kv_log_next_seq(v->log));
    vault_want_checkpoint(v);
}

/* The ledger is replayed, and the log slot told its key or that it can't: taking away must work
 * with a dead token, so the vault serves without it, and gives nothing. */
void vault_begin_serving(struct vault *v)
{
    struct kv_err err;
    if (v->started || v->log == NULL) {
        return;
    }
    bool good = kv_log_status(v->log)->state == KV_LOG_GOOD;
    if (good && (kv_log_probe(v->log, &err) != KV_OK || vault_may_record(v, &err) != KV_OK)) {
        hold(v, &err);
        return;
    }
    v->held.code = KV_OK;
    if (good) {
        vault_started_records(v);
    }
}
