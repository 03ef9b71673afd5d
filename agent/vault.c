/* ksefvault-vault: start, channels to the other programs, the ledger's replay. See vault.h. */
#include "agent/vault.h"

#include "agent/program.h"
#include "agent/sandbox.h"
#include "core/evidence.h"
#include "core/log.h"
#include "core/parse.h"
#include "core/time.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define COURIER_TIMEOUT_MS 30000

struct keeper *vault_keeper(struct vault *v, const char *slot)
{
    for (size_t i = 0; i < v->keeper_count; i++) {
        if (strcmp(v->keepers[i].slot, slot) == 0) {
            return &v->keepers[i];
        }
    }
    return NULL;
}

static struct keeper *keeper_of(struct vault *v, const char *slot)
{
    struct keeper *keeper = vault_keeper(v, slot);
    if (keeper == NULL) {
        assert(v->keeper_count < KV_COUNT(v->keepers)); /* the configuration has no more */
        keeper = &v->keepers[v->keeper_count++];
        memcpy(keeper->slot, slot, strlen(slot) + 1);
        keeper->vault = v;
        keeper->code = KV_E_STARTING;
    }
    return keeper;
}

/* ---- the other programs ---- */

static void keeper_is_down(struct keeper *keeper, enum kv_code code)
{
    keeper->up = keeper->ready = false;
    keeper->code = code;
}

static void no_slot_state(struct keeper *keeper, const struct kv_err *err)
{
    kv_log_err(KV_LOG_ERROR, "slot-state", err);
    keeper_is_down(keeper, err->code);
    (void)snprintf(keeper->detail, sizeof keeper->detail, "%.180s", err->msg); /* cut is fine */
}

/* Only now is it ready: what a slot's custody must be is asked of each key that is made or used. */
static void on_slot_state(void *ctx, const struct kv_answer_frame *answer)
{
    static const struct kv_field_spec specs[] = {{"custody", KV_FIELD_STRING, 15, true, NULL},
                                                 {"custody-why", KV_FIELD_STRING, 127, true, NULL},
                                                 {"model", KV_FIELD_STRING, 79, true, NULL},
                                                 {NULL, KV_FIELD_END, 0, false, NULL}};
    struct keeper *keeper = ctx;
    struct vault *v = keeper->vault;
    struct kv_field field[KV_FIELDS_MAX];
    struct kv_err err;
    if (answer->code == KV_E_STARTING || answer->code == KV_E_TOKEN_TIMEOUT) {
        return; /* it is gone, or about to be replaced */
    }
    enum kv_code code = answer->code == KV_OK
                            ? kv_message_read(answer->fields, specs, field, &err)
                            : KV_REFUSE(&err, answer->code, "%.150s", answer->detail);
    if (code != KV_OK) {
        no_slot_state(keeper, &err);
        return;
    }
    bool fits = kv_field_copy(&field[0], keeper->custody, sizeof keeper->custody) &&
                kv_field_copy(&field[1], keeper->custody_why, sizeof keeper->custody_why) &&
                kv_field_copy(&field[2], keeper->model, sizeof keeper->model);
    assert(fits); /* the table's limits */
    keeper->ready = true;
    keeper->code = KV_OK;
    keeper->detail[0] = '\0';
    if (strcmp(keeper->slot, v->log_slot) == 0) {
        vault_ask_log_key(v);
    }
    v->dirty = true; /* work may wait for this slot */
}

static void keeper_is_up(struct keeper *keeper)
{
    struct kv_err err;
    keeper->up = true;
    if (kv_channel_ask(keeper->channel, KV_FRAME_SLOT_STATE, KV_BYTES_NULL, -1, 10000,
                       on_slot_state, keeper, &err) != KV_OK) {
        no_slot_state(keeper, &err);
    }
}

void vault_configured(struct vault *v)
{
    if (v->configure_request != 0) {
        kv_channel_reply(v->supervisor, v->configure_request, KV_OK, "", KV_BYTES_NULL);
        v->configure_request = 0;
    }
}

static void on_frame(void *ctx, struct kv_channel *channel, const struct kv_frame *frame, int fd);

static void on_gone(void *ctx, struct kv_channel *channel)
{
    struct vault *v = ctx;
    if (channel == v->supervisor) {
        kv_loop_stop(v->loop);
    } else if (channel == v->gate) {
        vault_calls_gate_gone(v);
        vault_clients_clear(v);
        kv_channel_free(channel);
        v->gate = NULL;
    } else if (channel == v->courier) {
        kv_channel_free(channel);
        v->courier = NULL;
    } else {
        for (size_t i = 0; i < v->keeper_count; i++) {
            struct keeper *keeper = &v->keepers[i];
            if (keeper->channel == channel) {
                kv_channel_free(channel);
                keeper->channel = NULL;
                keeper_is_down(keeper, keeper->code == KV_OK ? KV_E_STARTING : keeper->code);
                vault_work_keeper_gone(v, keeper);
            }
        }
    }
}

/* A module or TPM that hangs would keep its keeper for good: the supervisor ends and replaces it.
 */
static void on_keeper_timeout(void *ctx, struct kv_channel *channel)
{
    static const char hangs[] = "the slot does not answer; it is started anew";
    struct vault *v = ctx;
    struct kv_err err;
    struct kv_buf body;
    for (size_t i = 0; i < v->keeper_count; i++) {
        struct keeper *keeper = &v->keepers[i];
        if (keeper->channel != channel || !keeper->up) {
            continue;
        }
        keeper_is_down(keeper, KV_E_TOKEN_TIMEOUT);
        memcpy(keeper->detail, hangs, sizeof hangs);
        kv_log(KV_LOG_ERROR, "slot-hangs", "slot=%s", keeper->slot);
        kv_buf_init(&body, 128);
        kv_message_str(&body, "slot", keeper->slot);
        if (kv_channel_send(v->supervisor, KV_FRAME_SLOT_HANGS, kv_buf_bytes(&body), -1, &err) !=
            KV_OK) {
            kv_log_err(KV_LOG_ERROR, "slot-hangs", &err);
        }
        kv_buf_clear(&body);
    }
}

static void replace(struct vault *v, struct kv_channel **at, struct kv_channel *fresh)
{
    if (*at != NULL) {
        on_gone(v, *at);
    }
    *at = fresh;
}

static const struct kv_field_spec child_specs[] = {{"role", KV_FIELD_STRING, 16, true, NULL},
                                                   {"slot", KV_FIELD_STRING, 63, true, NULL},
                                                   {"code", KV_FIELD_NUMBER, 1000, false, NULL},
                                                   {"detail", KV_FIELD_STRING, 191, false, NULL},
                                                   {NULL, KV_FIELD_END, 0, false, NULL}};

static void on_peer(struct vault *v, const struct kv_frame *frame, int fd)
{
    struct kv_field field[KV_FIELDS_MAX];
    struct kv_err err;
    struct kv_channel *fresh = NULL;
    char slot[KV_ID_LEN];
    if (kv_message_read(frame->body, child_specs, field, &err) != KV_OK ||
        !kv_field_copy(&field[1], slot, sizeof slot)) {
        kv_close_fdp(&fd);
        vault_fatal(v, &err);
    }
    enum kv_role role = KV_ROLE_GATE;
    while (role < KV_ROLE_COUNT && !kv_bytes_is(field[0].value, kv_role_word(role))) {
        role++;
    }
    if (kv_channel_new_take_fd(v->loop, fd, KV_ROLE_VAULT, role, on_frame, on_gone, v, &fresh,
                               &err) != KV_OK) {
        vault_fatal(v, &err);
    }
    if (role == KV_ROLE_GATE) {
        replace(v, &v->gate, fresh);
    } else if (role == KV_ROLE_COURIER) {
        replace(v, &v->courier, fresh);
    } else {
        struct keeper *keeper = keeper_of(v, slot);
        replace(v, &keeper->channel, fresh);
        kv_channel_on_timeout(fresh, on_keeper_timeout);
        /* until it tells, what its predecessor died of says more than that it starts */
        keeper_is_down(keeper, keeper->code == KV_OK ? KV_E_STARTING : keeper->code);
    }
}

/* Until it tells, what its predecessor died of says more than that it starts. */
static enum kv_code last_words(enum kv_code before, enum kv_code now)
{
    return now == KV_E_STARTING && before != KV_OK ? before : now;
}

static void courier_tells(struct vault *v, enum kv_code code, const struct kv_field *detail)
{
    enum kv_code before = v->courier_code;
    v->courier_code = last_words(before, code);
    if (code == KV_OK || v->courier_code == code) {
        bool fits = kv_field_copy(detail, v->courier_detail, sizeof v->courier_detail);
        v->courier_detail[fits ? sizeof v->courier_detail - 1 : 0] = '\0';
    }
}

static void keeper_tells(struct vault *v, const char *slot, enum kv_code code,
                         const struct kv_field *detail)
{
    struct keeper *keeper = keeper_of(v, slot);
    if (code == KV_OK && keeper->channel != NULL) {
        keeper_is_up(keeper);
    } else {
        /* one that was ready and is gone before we heard so: its end is told next */
        keeper_is_down(keeper, code == KV_OK ? KV_E_STARTING : code);
        bool fits = kv_field_copy(detail, keeper->detail, sizeof keeper->detail);
        keeper->detail[fits ? sizeof keeper->detail - 1 : 0] = '\0';
        if (strcmp(slot, v->log_slot) == 0) {
            vault_log_slot_says(v, keeper->code, keeper->detail);
        }
    }
}

/* Of the gate's state nobody could hear: it is the one who tells. The supervisor logs it. */
static void on_child(struct vault *v, const struct kv_frame *frame)
{
    struct kv_field field[KV_FIELDS_MAX];
    struct kv_err err;
    char slot[KV_ID_LEN];
    if (kv_message_read(frame->body, child_specs, field, &err) != KV_OK ||
        !kv_field_copy(&field[1], slot, sizeof slot) || field[2].number >= KV_CODE_COUNT) {
        vault_fatal(v, &err);
    }
    enum kv_code code = (enum kv_code)field[2].number;
    if (kv_bytes_is(field[0].value, kv_role_word(KV_ROLE_KEEPER))) {
        keeper_tells(v, slot, code, &field[3]);
    } else if (kv_bytes_is(field[0].value, kv_role_word(KV_ROLE_COURIER))) {
        courier_tells(v, code, &field[3]);
    }
}

enum kv_code vault_ask_courier(struct vault *v, enum kv_frame_op op, struct kv_bytes body,
                               kv_channel_answer_fn *fn, void *ctx, struct kv_err *err)
{
    if (v->courier_code != KV_OK && v->courier_code != KV_E_STARTING) {
        return KV_REFUSE(err, v->courier_code, "the courier is not ready: %.150s",
                         v->courier_detail);
    }
    if (v->courier == NULL) {
        return KV_REFUSE(err, KV_E_KSEF_UNREACHABLE, "the courier is being restarted");
    }
    return kv_channel_ask(v->courier, op, body, -1, COURIER_TIMEOUT_MS, fn, ctx, err);
}

static const struct kv_field_spec config_specs[] = {
    {"vault", KV_FIELD_STRING, KV_VAULT_LEN - 1, true, NULL},
    {"state", KV_FIELD_STRING, 255, true, NULL},
    {"log-slot", KV_FIELD_STRING, KV_ID_LEN - 1, true, NULL},
    {"environment", KV_FIELD_STRING, 7, true, NULL},
    {"config", KV_FIELD_STRING, KV_HASH_BASE64_LEN - 1, true, NULL},
    {"programs", KV_FIELD_OBJECT, 0, true, NULL},
    {"modules", KV_FIELD_OBJECT, 0, true, NULL},
    {"allowed-ips", KV_FIELD_STRING, KV_ALLOWED_IPS_LEN - 1, true, NULL},
    {NULL, KV_FIELD_END, 0, false, NULL}};

static enum kv_code open_folder(struct vault *v, struct kv_err *err)
{
    char path[300];
    int n = snprintf(path, sizeof path, "%s/ledger", v->state_dir);
    assert(n > 0 && (size_t)n < sizeof path);
    v->ledger_dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (v->ledger_dir < 0) {
        return KV_FAIL(err, KV_E_IO, KV_ERRNO, "cannot open %.150s", path);
    }
    return KV_OK;
}

static enum kv_code enter_sandbox(const struct vault *v, struct kv_err *err)
{
    char inbox[300], ledger[300];
    int n = snprintf(inbox, sizeof inbox, "%s/inbox", v->state_dir);
    int m = snprintf(ledger, sizeof ledger, "%s/ledger", v->state_dir);
    assert(n > 0 && m > 0);
    const char *const writable[] = {inbox, ledger, NULL};
    struct kv_sandbox_paths paths = {.writable = writable};
    return kv_sandbox_enter(KV_ROLE_VAULT, &paths, err);
}

static enum kv_code configure(struct vault *v, const struct kv_frame *frame, struct kv_err *err)
{
    struct kv_field field[KV_FIELDS_MAX];
    if (kv_message_read(frame->body, config_specs, field, err) != KV_OK) {
        return err->code;
    }
    bool fits = kv_field_copy(&field[0], v->name, sizeof v->name) &&
                kv_field_copy(&field[1], v->state_dir, sizeof v->state_dir) &&
                kv_field_copy(&field[2], v->log_slot, sizeof v->log_slot) &&
                kv_field_copy(&field[3], v->environment, sizeof v->environment) &&
                kv_field_copy(&field[4], v->config_sha256, sizeof v->config_sha256) &&
                kv_field_copy(&field[7], v->allowed_ips, sizeof v->allowed_ips);
    int n = snprintf(v->origin, sizeof v->origin, "%s/audit", v->name);
    assert(fits && n > 0 && (size_t)n < sizeof v->origin);
    kv_buf_add_bytes(&v->programs, field[5].value);
    kv_buf_add_bytes(&v->modules, field[6].value);
    (void)keeper_of(v, v->log_slot); /* known from the start */
    if (open_folder(v, err) != KV_OK || enter_sandbox(v, err) != KV_OK) {
        return err->code;
    }
    v->configure_request = frame->request;
    vault_open_ledger(v);
    return KV_OK;
}

static void on_frame(void *ctx, struct kv_channel *channel, const struct kv_frame *frame, int fd)
{
    struct vault *v = ctx;
    struct kv_err err;
    /* the table of frames has checked who may send what */
    if (frame->op == KV_FRAME_CALL) {
        vault_on_call(v, channel, frame);
    } else if (frame->op == KV_FRAME_HANGUP) {
        static const struct kv_field_spec specs[] = {
            {"connection", KV_FIELD_NUMBER, KV_NUMBER_MAX, true, NULL},
            {NULL, KV_FIELD_END, 0, false, NULL}};
        struct kv_field field[KV_FIELDS_MAX];
        if (kv_message_read(frame->body, specs, field, &err) == KV_OK) {
            vault_client_gone(v, field[0].number);
        }
    } else if (frame->op == KV_FRAME_PEER) {
        on_peer(v, frame, fd);
        return;
    } else if (frame->op == KV_FRAME_LISTENER) {
        vault_listen(v, fd);
        return;
    } else if (frame->op == KV_FRAME_CHILD) {
        on_child(v, frame);
    } else if (frame->op == KV_FRAME_CONFIGURE) {
        if (configure(v, frame, &err) != KV_OK) {
            kv_channel_reply(channel, frame->request, err.code, err.msg, KV_BYTES_NULL);
            kv_channel_flush(channel);
            vault_fatal(v, &err);
        }
    }
    kv_close_fdp(&fd);
}

/* Close the books: what is staged is flushed, agent.stop is the last record. It is not waited for a
 * checkpoint: the next start signs the tail. */
static void stop_serving(struct vault *v)
{
    struct kv_err err;
    if (!v->started) {
        return;
    }
    vault_refusals_settle(v, true);
    struct kv_record *rec = kv_record_new(KV_EV_AGENT_STOP);
    kv_record_info_str(rec, "why", "signal");
    if (vault_record(v, rec, NULL, NULL, &err) != KV_OK) {
        kv_log_err(KV_LOG_ERROR, "stop", &err); /* what is staged is flushed all the same */
    }
    if (kv_log_flush(v->log, &err) != KV_OK || kv_log_tend(v->log, &err) != KV_OK) {
        kv_log_err(KV_LOG_ERROR, "stop", &err);
    }
}

/* Everything goes with the process; what held tokens is wiped on the way. */
static void close_down(struct vault *v)
{
    vault_logins_clear(v);
    vault_ministry_clear(v);
    vault_sessions_clear(v);
    vault_codes_clear(v);
    vault_work_clear(v);
    vault_inbox_clear(v);
    /* open questions end here, while the calls that asked them are still there */
    for (size_t i = 0; i < v->keeper_count; i++) {
        if (v->keepers[i].channel != NULL) {
            kv_channel_forget(v->keepers[i].channel, v); /* a checkpoint: no signer is down */
        }
        kv_channel_free(v->keepers[i].channel);
        v->keepers[i].channel = NULL;
    }
    kv_channel_free(v->courier);
    vault_calls_clear(v, KV_E_STARTING, "the agent stops");
    vault_memory_free(v->memory);
    vault_clients_clear(v);
    kv_channel_free(v->gate);
    kv_channel_free(v->supervisor);
    kv_founding_free(v->founding);
    kv_log_opening_free(v->opening);
    kv_state_free(v->replayed);
    kv_timer_free(v->replay_timer);
    kv_state_free(v->state);
    kv_log_free(v->log);
    kv_buf_clear(&v->log_evidence);
    kv_buf_clear(&v->programs);
    kv_buf_clear(&v->modules);
    kv_timer_free(v->sign_timer);
    kv_timer_free(v->due_timer);
    kv_timer_free(v->open_timer);
    kv_timer_free(v->refusal_timer);
    kv_loop_free(v->loop);
    free(v);
}

int main(int argc, char **argv)
{
    struct kv_err err;
    uint8_t boot[4];
    kv_program_args(argc, argv, "ksefvault-vault",
                    "decisions and ledger of the KSeF credential agent");
    struct vault *v = calloc(1, sizeof *v);
    if (v == NULL || RAND_bytes(boot, sizeof boot) != 1) {
        return 1;
    }
    v->loop = kv_program_start("ksefvault-vault");
    vault_clients_limit(v);
    v->ledger_dir = -1;
    v->inbox_dir = v->inbox_watch = -1;
    v->listener = -1;
    v->courier_code = KV_E_STARTING;
    kv_hex_encode(kv_bytes(boot, sizeof boot), v->boot);
    v->memory = vault_memory_new();
    kv_log_hold();
    kv_buf_init(&v->log_evidence, KV_EVIDENCE_MAX);
    kv_buf_init(&v->programs, 4096);
    kv_buf_init(&v->modules, 4096);
    v->sign_timer = kv_timer_new(v->loop, vault_sign_timer, v);
    v->open_timer = kv_timer_new(v->loop, vault_open_ledger, v);
    v->due_timer = kv_timer_new(v->loop, vault_due_timer, v);
    v->refusal_timer = kv_timer_new(v->loop, vault_refusal_timer, v);
    kv_loop_on_turn(v->loop, vault_turn_end, v);
    if (kv_channel_new_take_fd(v->loop, KV_FD_SUPERVISOR, KV_ROLE_VAULT, KV_ROLE_SUPERVISOR,
                               on_frame, on_gone, v, &v->supervisor, &err) != KV_OK ||
        kv_loop_run(v->loop, &err) != KV_OK) {
        kv_program_die(&err);
    }
    stop_serving(v);
    close_down(v);
    kv_log_release();
    return 0;
}
