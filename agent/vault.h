/* The vault: attests callers, decides, keeps the state, writes the ledger. One process, one loop;
 * a turn of the loop is one commit (docs/architecture.md). It has no network, loads no module,
 * speaks no HTTP and no TLS. Inside:
 *
 *   vault.c          start, channels, configuration
 *   vault_client.c   connections: peer, attestation, handing over to the gate
 *   vault_turn.c     records of a turn, flush, checkpoint, what leaves when
 *   vault_call.c     the API's calls: reading, access, repetition, dispatch
 *   vault_memory.c   answers to repeat
 *   vault_start.c    replay, agent.start
 *   vault_submit.c   signed texts
 *   vault_founding.c those of a vault that is not founded yet
 *   vault_inbox.c    signed texts from files
 *   vault_work.c     what an approved request makes the agent do (keys, certificates)
 *   vault_use.c      decisions on uses, and their refusals
 *   vault_login*.c   a KSeF login from challenge to access token
 *   vault_ministry.c KSeF's public key for tokens
 *   vault_import.c   KSeF tokens from outside
 *   vault_session*.c sessions at KSeF and their leases
 *   vault_wait.c     calls that wait for a login or a refresh
 *   vault_qr.c       signatures for QR codes
 *   vault_status.c   what is wrong, and what to do next
 *   vault_view.c     other answers that only show */
#ifndef KV_AGENT_VAULT_H
#define KV_AGENT_VAULT_H

#include "agent/channel.h"
#include "agent/headroom.h"
#include "core/call.h"
#include "core/config.h"
#include "core/record.h"
#include "core/secret.h"
#include "ksef/allowedips.h"
#include "ledger/log.h"
#include "policy/state.h"

#include <dirent.h>
#include <sys/queue.h>
#include <sys/types.h>

#define CLIENT_BUCKETS     256   /* of connections; each call looks for its own */
#define CALL_BUCKETS       256   /* of calls under way; each looks for one with its key */
#define KV_BATCH_RECORDS   256   /* uncovered records that make a checkpoint due */
#define KV_BATCH_WAIT_MS   1000  /* age of uncovered records that makes a checkpoint due */
#define KV_UNCOVERED_MS    60000 /* without a signer, uses stop after this time … */
#define KV_SIGN_TIMEOUT_MS 10000
#define KV_SIGN_RETRY_MS   2000
#define KV_OPEN_RETRY_MS   2000
#define KV_CLOCK_SLACK_MS  10000 /* the clock may be this far behind the last record */

struct vault;

/* A program behind a connection. */
struct client {
    LIST_ENTRY(client) of_bucket;
    struct vault *vault;
    uint64_t number;
    int fd; /* until it is handed to the gate */
    int pidfd;
    uid_t uid;
    gid_t gid;
    char exe[256];
    char unit[128];
    bool has_exe_hash;
    struct kv_hash exe_hash;
    bool asked, asked_read; /* the supervisor is being asked; also to read the program */
};

/* What waits for the end of the turn or for a checkpoint. `fn` is called exactly once with KV_OK,
 * or with the reason why it may not happen. */
typedef void effect_fn(void *ctx, enum kv_code code, const char *detail);
struct effect {
    struct effect *next;
    uint64_t seq; /* covered once the checkpoint's size is above it */
    effect_fn *fn;
    void *ctx;
};
struct effects {
    struct effect *first, **end;
};

struct keeper {
    struct vault *vault;
    char slot[KV_ID_LEN];
    struct kv_channel *channel; /* NULL: not there */
    bool up;                    /* it is in its slot, as the supervisor says */
    bool ready;                 /* and told its custody, which the policy may ask for */
    enum kv_code code;          /* why it is not ready */
    char detail[192];
    char custody[16]; /* attested, claimed, software; "" until it told for the first time */
    char custody_why[128];
    char model[80];
};

/* One API call under way; it ends with vault_reply or vault_refuse. */
struct call {
    struct vault *vault;
    struct kv_channel *gate; /* NULL once the gate is gone */
    uint32_t request;
    uint64_t connection;
    enum kv_call call;
    int64_t deadline_ms; /* loop clock: until when the caller waits */
    bool has_key;        /* an Idempotency-Key */
    struct kv_hash key;  /* of who, call and Idempotency-Key */
    struct kv_hash args_hash;
    struct kv_buf args;                   /* own copy */
    struct kv_field field[KV_FIELDS_MAX]; /* by the order of the call's table */
    struct client *client;                /* NULL once it hung up */
    uid_t uid;
    struct call *leader; /* under way with the same key: its answer is ours too */
    bool followed;
    LIST_ENTRY(call) of_bucket;
};

struct vault_memory;     /* vault_memory.c: answers to repeat */
struct refusal;          /* vault_use.c */
struct session;          /* vault_session.c */
struct login;            /* vault_login.c */
struct codes;            /* vault_qr.c: calls under way */
struct code_certificate; /* vault_qr.c: read once */
struct work;             /* vault_work.c */
struct ministry;         /* vault_ministry.c */

struct vault {
    struct kv_loop *loop;
    struct kv_channel *supervisor, *gate, *courier;
    enum kv_code courier_code; /* why it is not ready, as the supervisor told; else KV_OK */
    char courier_detail[192];
    struct keeper keepers[KV_CONFIG_SLOTS_MAX];
    size_t keeper_count;
    int listener;
    struct kv_source *listener_source;
    uint64_t next_connection;
    size_t clients_max;
    LIST_HEAD(client_bucket, client) clients[CLIENT_BUCKETS]; /* by their number */
    LIST_HEAD(call_bucket, call) calls[CALL_BUCKETS];         /* under way, by their key */

    /* configuration */
    char name[KV_VAULT_LEN], origin[KV_ORIGIN_LEN];
    char allowed_ips[KV_ALLOWED_IPS_LEN]; /* for logins; "challenge": the address that KSeF saw */
    char state_dir[256], log_slot[KV_ID_LEN], environment[8], config_sha256[KV_HASH_BASE64_LEN];
    struct kv_buf programs, modules; /* messages: name → SHA-256 */

    /* the ledger and its meaning */
    int ledger_dir;
    struct kv_log *log;             /* NULL: still being read */
    struct kv_state *state;         /* empty until then: a state half-way would answer wrongly */
    struct kv_log_opening *opening; /* being read, into: */
    struct kv_state *replayed;
    struct kv_timer *replay_timer;
    int64_t alive_ms;             /* loop clock: of the last sign of life while reading */
    uint32_t configure_request;   /* answered when all is read */
    struct kv_founding *founding; /* while unfounded */
    struct kv_vkey log_key;       /* of the slot; type 0 until the keeper told */
    struct kv_buf log_evidence;   /* what its token says of it; empty: nothing */
    bool started;                 /* agent.start is written: calls are served */
    struct kv_err held;           /* why it cannot be opened or begun yet; code KV_OK: nothing */
    char boot[KV_BOOT_LEN];

    /* the inbox */
    bool inbox_begun;
    int inbox_dir, inbox_watch;
    DIR *inbox_sweep; /* under way */
    bool inbox_again; /* another one behind it */
    struct kv_timer *inbox_timer;

    /* the turn */
    int64_t now_ms; /* 0: not read yet in this turn */
    uint64_t mono_us;
    bool space_known; /* in this turn */
    struct kv_log_space space;
    struct kv_headroom headroom;
    bool dirty;     /* records wait for the flush */
    bool now;       /* somebody waits for that flush alone */
    size_t awaited; /* calls for codes that are durable, and wait for their signatures */
    /* What the next record brings along, stored only if it is accepted: the side rows behind its
     * commitments, the policy text that it asks for. Borrowed. */
    const struct kv_side_row *rows;
    size_t row_count;
    struct kv_bytes text;
    struct effects on_flush, on_cover;
    bool signing;
    uint64_t signing_size;
    bool signer_down;
    bool signer_told;   /* since the start: it was asked and failed */
    bool unsigned_tail; /* since the start: what a crash left uncovered is not signed yet */
    char signer_detail[192];
    int64_t uncovered_since_ms; /* loop clock; 0: all is covered */
    struct kv_timer *sign_timer, *due_timer, *open_timer;
    int64_t behind_ms; /* of the last record; above the slack: */
    bool clock_behind;
    bool clock_alarm, disk_alarm; /* recorded, until it is right again */
    int64_t tended_ms;            /* loop clock */

    struct vault_memory *memory;
    struct refusal *refusals;
    struct kv_timer *refusal_timer;
    enum kv_code ksef_code; /* of the last call, if it did not reach KSeF; else KV_OK */
    int64_t ksef_since_ms;
    char ksef_detail[160];
    struct import *imports; /* vault_import.c */
    struct login *logins;
    struct session *sessions;
    bool rules_changed; /* a record of this turn may have taken something away */
    LIST_HEAD(, codes) codes;
    struct code_certificate *code_certificates;
    struct work *work;
    struct ministry *ministry;
};

/* ---- vault.c ---- */
/* Ask the courier. What it last said of itself is the refusal while it is not there, so that a
 * setup that can't work is not told as one that will in a moment. */
KV_MUST_USE enum kv_code vault_ask_courier(struct vault *v, enum kv_frame_op op,
                                           struct kv_bytes body, kv_channel_answer_fn *fn,
                                           void *ctx, struct kv_err *err);

/* ---- vault_may.c ---- */
/* The slot protects keys as well as `least`, or as the policy, demands; also as long as nobody
 * knows how well it does. */
KV_MUST_USE enum kv_code vault_custody_reaches(struct vault *v, const char *slot,
                                               enum kv_custody_floor least, struct kv_err *err);
KV_MUST_USE enum kv_code vault_custody_allows(struct vault *v, const char *slot,
                                              struct kv_err *err);
/* Whether anything can be recorded now, even what only notes. */
KV_MUST_USE enum kv_code vault_may_record(struct vault *v, struct kv_err *err);
/* Whether a use may be recorded now: also for a while without a signer. */
KV_MUST_USE enum kv_code vault_may_use(struct vault *v, struct kv_err *err);
/* Whether something may be given now. */
KV_MUST_USE enum kv_code vault_may_give(struct vault *v, struct kv_err *err);
#define VAULT_BLOCK        4096               /* a small file's share of the disk */
#define VAULT_PUBLISH_ROOM (16 * VAULT_BLOCK) /* a checkpoint and its tiles */
/* Bytes that a record with these documents, and the rows and text that go with it, takes beside the
 * segments that are there. */
uint64_t vault_room_for(const struct vault *v, const struct kv_bytes *blobs, size_t count);
/* See that `need` bytes are free, if must be from the reserve, which what takes away or only notes
 * may use. Errors: KV_E_LEDGER_DISK, KV_E_LEDGER_WRITE (read-only), KV_E_IO. */
KV_MUST_USE enum kv_code vault_make_room(struct vault *v, uint64_t need, struct kv_err *err);
/* What this turn saw of clock and disk: one record when it goes wrong. */
void vault_raise_alarms(struct vault *v);

/* ---- vault_turn.c ---- */
/* `now` of this turn, never less than the last record's. */
int64_t vault_now(struct vault *v);
struct kv_moment vault_moment(struct vault *v);
struct kv_log_view vault_log_view(const struct vault *v);
/* Judge `rec` (owned here from now on), apply it to the state and stage it. blobs[i] are the bytes
 * of rec->docs[i]. Strict records are refused while the signer is down, the disk is low or the
 * clock behind; uses too. *seq (may be NULL) gets its number. Fatal errors of the ledger end the
 * program. */
KV_MUST_USE enum kv_code vault_record(struct vault *v, struct kv_record *rec,
                                      const struct kv_bytes *blobs, uint64_t *seq,
                                      struct kv_err *err);
/* Call `fn` when all records staged so far are durable. */
void vault_after_flush(struct vault *v, effect_fn *fn, void *ctx);
/* The same for who waits for a signature besides: while keepers make those of durable calls, this
 * turn's records may wait for the next flush. */
void vault_after_flush_or_later(struct vault *v, effect_fn *fn, void *ctx);
/* No longer: somebody waits for the flush alone. */
void vault_flush_now(struct vault *v);
/* Call `fn` when record `seq` is covered by a signed checkpoint. */
void vault_after_cover(struct vault *v, uint64_t seq, effect_fn *fn, void *ctx);
void vault_turn_end(void *vault);
void vault_sign_timer(void *vault);
/* All that is uncovered gets its checkpoint as soon as possible. */
void vault_want_checkpoint(struct vault *v);
/* The log's slot says why its key cannot be used. Of a key that does not sign the last counts. */
void vault_log_slot_says(struct vault *v, enum kv_code code, const char *detail);
/* Why the log's key does not sign, or its signature cannot be written, as people are told. */
void vault_signer_why(struct vault *v, enum kv_code code, const char *detail);
void vault_drop_effects(struct vault *v, const void *ctx);
_Noreturn void vault_fatal(struct vault *v, const struct kv_err *err);

/* ---- vault_client.c ---- */
/* How many clients the limit of descriptors leaves room for. */
void vault_clients_limit(struct vault *v);
void vault_listen(struct vault *v, int listener);
struct client *vault_client(struct vault *v, uint64_t number);
void vault_client_gone(struct vault *v, uint64_t number);
/* All clients' connections went with the gate. */
void vault_clients_clear(struct vault *v);
/* "uid:2101 unit:erp.service exe:…" as records have it. */
void vault_client_via(const struct client *client, bool with_exe, char out[static KV_VIA_LEN]);
struct kv_caller vault_caller(const struct client *client);
/* Have the client's program read, if it is not being read: who comes again finds its hash. */
void vault_client_read(struct client *client);

/* ---- vault_call.c ---- */
void vault_on_call(struct vault *v, struct kv_channel *gate, const struct kv_frame *frame);
/* End the call; frees it. */
void vault_reply(struct call *call, struct kv_buf *fields);
void vault_refuse(struct call *call, enum kv_code code, const char *detail);
/* As vault_refuse, with more fields (who can lift it, the record). */
void vault_refuse_more(struct call *call, enum kv_code code, const char *detail,
                       struct kv_buf *fields);
/* As vault_refuse, with the seconds after which to come again; 0: the caller's choice. */
void vault_refuse_retry(struct call *call, enum kv_code code, const char *detail,
                        uint32_t retry_after);
void vault_calls_gate_gone(struct vault *v);
/* They end in their own time. */
void vault_calls_client_gone(struct vault *v, const struct client *client);
/* We stop: end all calls. */
void vault_calls_clear(struct vault *v, enum kv_code code, const char *detail);
/* Whether the caller may read what only persons, root, and for its own things an integration see.
 */
bool vault_is_reader(struct vault *v, const struct call *call);

/* ---- vault_memory.c ---- */
struct vault_memory_answer {
    bool same; /* of the same request; else the key was used for another */
    enum kv_code code;
    const char *detail;
    struct kv_bytes fields; /* borrowed until the next is kept */
};
struct vault_memory *vault_memory_new(void);
/* Keep the answer to a call that has an Idempotency-Key, for fifteen minutes or until there are too
 * many. What may succeed later is not kept. */
void vault_memory_keep(struct vault_memory *memory, const struct call *call, enum kv_code code,
                       const char *detail, struct kv_bytes fields);
KV_MUST_USE bool vault_memory_find(struct vault_memory *memory, const struct call *call,
                                   struct vault_memory_answer *out);
void vault_memory_free(struct vault_memory *memory);

/* ---- vault_submit.c ---- */
void vault_call_submit(struct call *call);
/* A text from the inbox with its signature behind it. */
void vault_submit_file(struct vault *v, const char *name, struct kv_bytes joined);

/* ---- vault_founding.c ---- */
void vault_call_founding(struct call *call);

/* ---- vault_inbox.c ---- */
/* At each turn's end: begin to take texts as soon as they can be judged. */
void vault_inbox_begin(struct vault *v);
void vault_inbox_clear(struct vault *v);
void vault_inbox_answer(struct vault *v, const char *name, enum kv_code code, const char *detail);

/* ---- vault_work.c ---- */
/* Do what became due: the agent's own records, keys to generate. Called at each turn's end. */
void vault_work_due(struct vault *v);
void vault_due_timer(void *vault);
void vault_work_clear(struct vault *v);
void vault_work_keeper_gone(struct vault *v, const struct keeper *keeper);
void vault_call_self_sign(struct call *call);

/* What a decision gives: copied, since the state goes on. */
struct entitlement {
    enum kv_cred_kind kind;
    const struct kv_statement *terms; /* of the credential; the state keeps requests for good */
    char integration[KV_ID_LEN], grant[KV_ULID_LEN], credential[KV_ID_LEN], slot[KV_ID_LEN];
    struct kv_hash certificate; /* blob */
    uint64_t room;              /* how many uses are allowed at once */
    enum kv_code room_code;     /* the refusal of more */
};

/* ---- vault_login.c ---- */
/* A call reached KSeF, or did not: `status` tells. */
void vault_note_ksef(struct vault *v, enum kv_code code, const char *detail);
void vault_call_session_open(struct call *call);
void vault_logins_clear(struct vault *v);
typedef void vault_proven_fn(void *ctx, enum kv_code code, const char *detail);
/* One login with the token of an approved import, to see that KSeF takes it; no session is opened.
 * `fn` is called once. */
void vault_prove_token(struct vault *v, const struct kv_request *request, const char *ctx,
                       vault_proven_fn *fn, void *fn_ctx);

/* ---- vault_ministry.c ---- */
/* The ministry's key for tokens, as last fetched. Borrowed until the loop's next turn. */
struct vault_ministry_key {
    struct kv_bytes certificate;
};
typedef void vault_ministry_fn(void *ctx, enum kv_code code, const char *detail,
                               const struct vault_ministry_key *key);
/* Call `fn` with the key, now or when KSeF has answered; it is recorded at its first use. */
void vault_ministry_key(struct vault *v, vault_ministry_fn *fn, void *ctx);
/* KSeF refused it: the next one who asks fetches the list anew. */
void vault_ministry_forget(struct vault *v);
/* `ctx` does not want the key any more. */
void vault_ministry_drop(struct vault *v, const void *ctx);
void vault_ministry_clear(struct vault *v);

/* ---- vault_import.c ---- */
void vault_call_import_point(struct call *call);
void vault_call_import(struct call *call);
/* What a wrapped secret is bound to (agent/keeper_secret.c). `reference` is "" for none. */
void vault_add_binding(struct kv_buf *body, const struct kv_statement *terms,
                       const char *credential, const char *reference);

/* ---- vault_qr.c ---- */
void vault_call_codes(struct call *call);
void vault_codes_clear(struct vault *v);

/* ---- vault_session.c ---- */
/* A login that ended well. Texts are copied; the secrets are the session's from now on. */
struct vault_session_start {
    const struct entitlement *who;
    const char *ctx, *via, *reference;
    struct kv_secret *access, *refresh;
    int64_t access_until, refresh_until;
    bool unwanted; /* its refresh token could not be kept: it is ended at once */
};
/* Begin a session, and give a lease to each call. */
void vault_session_begin(struct vault *v, const struct vault_session_start *start,
                         struct call *const *calls, size_t count);
/* Give the call a lease of a session that lives, now or after a refresh; false: there is none. */
KV_MUST_USE bool vault_session_join(struct call *call, const struct entitlement *who,
                                    const char *ctx);
void vault_call_session_close(struct call *call);
/* This lease was given and has not ended. */
bool vault_session_leased(struct vault *v, struct kv_bytes id);
/* End the sessions whose grants no longer stand. */
void vault_sessions_check(struct vault *v);
/* What a crash or a stop left open at KSeF is ended. */
void vault_sessions_end_orphans(struct vault *v);
size_t vault_sessions_count(const struct vault *v);
/* Append the array `sessions`: whose, until when, with how many leases; never a token. */
void vault_sessions_view(struct vault *v, struct kv_buf *out);
void vault_sessions_clear(struct vault *v);

/* ---- vault_use.c ---- */
/* Ask the policy whether the caller may do this. If not, the refusal is recorded and the call
 * answered with what would lift it; false then. */
KV_MUST_USE bool vault_entitled(struct call *call, enum kv_op op, const char *ctx,
                                struct entitlement *out);
/* Write what was counted; `all`: before we stop. */
void vault_refusals_settle(struct vault *v, bool all);
void vault_refusal_timer(void *vault);
/* The label of a credential's key in its slot; of the log's own key for NULL. */
#define KV_LABEL_LEN 64
void vault_key_label(const struct vault *v, const char *credential, char out[static KV_LABEL_LEN]);

/* ---- vault_view.c ---- */
typedef void call_fn(struct call *call);
void vault_call_view(struct call *call);
void vault_call_export(struct call *call);
void vault_call_verified(struct call *call);

/* ---- vault.c ---- */
struct keeper *vault_keeper(struct vault *v, const char *slot);
/* The supervisor hears that we are configured; once. */
void vault_configured(struct vault *v);
/* What the ledger's key is: asked once the slot is ready and the ledger is open. */
void vault_ask_log_key(struct vault *v);

/* ---- vault_evidence.c ---- */
/* Keep what the token says of the ledger's key, once both are there. */
void vault_keep_evidence(struct vault *v);

/* ---- vault_start.c ---- */
/* Begin to replay the ledger, once the configuration is known; and again, while it is held. It goes
 * on for as many turns as it takes, so that calls are answered and the supervisor hears from us. */
void vault_open_ledger(void *vault);
#define KV_READING_LEN 96
/* "the ledger is being read: 1024 of 900000 records", or that it has not begun. */
void vault_reading(const struct vault *v, char out[static KV_READING_LEN]);
/* Serve, if the ledger is good. */
void vault_begin_serving(struct vault *v);
/* agent.start, log.recovered, and the outcomes that a crash left open. */
void vault_started_records(struct vault *v);

#endif
