/* kv_slot_check of pkcs11/admin.h: what a slot can do, tried out with probe keys. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "core/public.h"
#include "core/time.h"
#include "pkcs11/admin.h"
#include "pkcs11/child.h"
#include "pkcs11/module.h"

#define CHECK_TIMEOUT_MS 300000 /* a smart card may take a minute for an RSA key */
#define PROBE_PREFIX     "ksefvault-probe-"

/* The run of a check in the child. */
struct check {
    const struct kv_child_out *out;
    struct kv_token *token;
    enum kv_code first; /* of the first row that is not ok */
    struct kv_err why;  /* of that */
};

static void say(struct check *check, const char *what, bool ok, const char *fmt, ...)
    KV_PRINTF(4, 5);
static void say(struct check *check, const char *what, bool ok, const char *fmt, ...)
{
    char detail[sizeof((struct kv_slot_row *)0)->detail];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(detail, sizeof detail, fmt, ap);
    va_end(ap);
    for (int i = 0; i < n && detail[i] != '\0'; i++) {
        detail[i] = detail[i] < ' ' || detail[i] > '~' ? '?' : detail[i];
    }
    struct kv_buf row;
    kv_buf_init(&row, KV_CHILD_OUTPUT_MAX);
    kv_child_add_text(&row, what);
    kv_buf_add_u8(&row, ok ? 1 : 0);
    kv_child_add_text(&row, n < 0 ? "" : detail);
    kv_child_row(check->out, &row);
    kv_buf_clear(&row);
}

/* Tell a failure; the first one is also the result. */
static void fail(struct check *check, const char *what, const struct kv_err *err)
{
    if (check->first == KV_OK) {
        check->first = err->code;
        check->why = *err;
    }
    say(check, what, false, "%s: %s", kv_code_word(err->code), err->msg);
}

static void refuse(struct check *check, const char *what, enum kv_code code, const char *msg)
{
    struct kv_err err;
    enum kv_code same = KV_REFUSE(&err, code, "%s", msg);
    assert(same == code);
    fail(check, what, &err);
}

static const struct {
    enum kv_token_mechanism mechanism;
    enum kv_token_key_type key;
    const char *what;
} signatures[] = {
    {KV_TOKEN_ECDSA, KV_TOKEN_EC_P256, "sign ECDSA P-256"},
    {KV_TOKEN_RSA_PKCS1_SHA256, KV_TOKEN_RSA_2048, "sign RSA PKCS#1 v1.5 SHA-256"},
    {KV_TOKEN_RSA_PSS_SHA256, KV_TOKEN_RSA_2048, "sign RSA PSS SHA-256"},
};
static const struct {
    const char *generate, *attributes;
} key_rows[KV_TOKEN_KEY_TYPE_COUNT] = {
    [KV_TOKEN_EC_P256] = {"generate EC P-256", "attributes of EC P-256"},
    [KV_TOKEN_RSA_2048] = {"generate RSA 2048", "attributes of RSA 2048"},
};

static void check_sign(struct check *check, const struct kv_token_key *key, size_t which)
{
    struct kv_err err;
    uint8_t sig[KV_TOKEN_SIG_MAX];
    size_t len = sizeof sig;
    struct kv_hash digest;
    if (kv_token_random(check->token, digest.b, sizeof digest.b, &err) != KV_OK) {
        fail(check, signatures[which].what, &err);
        return;
    }
    uint64_t begin = kv_time_mono_us();
    if (kv_token_sign(check->token, key->handle, signatures[which].mechanism, &digest, sig, &len,
                      &err) != KV_OK) {
        fail(check, signatures[which].what, &err);
        return;
    }
    uint64_t took = kv_time_mono_us() - begin;
    if (!kv_public_verify(key, signatures[which].mechanism, &digest, kv_bytes(sig, len))) {
        refuse(check, signatures[which].what, KV_E_TOKEN,
               "OpenSSL does not accept the token's signature");
        return;
    }
    say(check, signatures[which].what, true, "verified by OpenSSL; %ju us", (uintmax_t)took);
}

static void check_attributes(struct check *check, const struct kv_token_key *key)
{
    const char *what = key_rows[key->type].attributes;
    const char *untold = !key->local               ? "local (CKA_LOCAL)"
                         : !key->always_sensitive  ? "always sensitive (CKA_ALWAYS_SENSITIVE)"
                         : !key->never_extractable ? "never extractable (CKA_NEVER_EXTRACTABLE)"
                                                   : NULL;
    if (untold != NULL) {
        char msg[96];
        int n =
            snprintf(msg, sizeof msg, "the token does not report of its key that it is %s", untold);
        assert(n > 0 && (size_t)n < sizeof msg);
        refuse(check, what, KV_E_TOKEN_MECHANISM, msg);
        return;
    }
    say(check, what, true, "local, sensitive, always sensitive, never extractable");
}

static void check_key(struct check *check, enum kv_token_key_type type)
{
    struct kv_err err;
    struct kv_token_key key;
    uint8_t random[8];
    char hex[KV_HEX_LEN(sizeof random)], label[KV_TOKEN_LABEL_LEN];
    if (kv_token_random(check->token, random, sizeof random, &err) != KV_OK) {
        fail(check, key_rows[type].generate, &err);
        return;
    }
    kv_hex_encode(kv_bytes(random, sizeof random), hex);
    int n = snprintf(label, sizeof label, PROBE_PREFIX "%s", hex);
    assert(n > 0 && (size_t)n < sizeof label);
    if (kv_token_generate(check->token, label, type, &key, &err) != KV_OK) {
        fail(check, key_rows[type].generate, &err);
        return;
    }
    say(check, key_rows[type].generate, true, "made on the token");
    check_attributes(check, &key);
    for (size_t i = 0; i < KV_COUNT(signatures); i++) {
        if (signatures[i].key == type) {
            check_sign(check, &key, i);
        }
    }
}

static void check_random(struct check *check)
{
    struct kv_err err;
    uint8_t a[32] = {0}, b[32] = {0};
    if (kv_token_random(check->token, a, sizeof a, &err) != KV_OK ||
        kv_token_random(check->token, b, sizeof b, &err) != KV_OK) {
        fail(check, "random", &err);
    } else if (kv_bytes_equal(kv_bytes(a, sizeof a), kv_bytes(b, sizeof b))) {
        refuse(check, "random", KV_E_TOKEN, "the token gave the same 32 bytes twice");
    } else {
        say(check, "random", true, "32 bytes, twice, different");
    }
}

/* What cannot live in the token (KSeF tokens, refresh tokens) lies outside, under a key of the
 * token. One that has no way to do so serves all the same, within limits. */
static void check_wrapping(struct check *check)
{
    const char *what = "wrapping";
    struct kv_err err;
    enum kv_token_rung rung;
    struct kv_buf box;
    KV_CLEANUP(kv_secret_freep) struct kv_secret *plain = NULL, *back = NULL;
    const struct kv_bytes aad = kv_bytes_str("probe");
    kv_buf_init(&box, 1024);
    enum kv_code code = kv_secret_from(kv_bytes_str("a secret of ksefvault's check"), &plain, &err);
    if (code == KV_OK) {
        code = kv_token_best_rung(check->token, &rung, &err);
    }
    if (code == KV_OK) {
        code = kv_token_wrap(check->token, PROBE_PREFIX "wrap", rung, aad, plain, &box, &err);
    }
    if (code == KV_E_TOKEN_MECHANISM) {
        say(check, what, true, "none, so no KSeF tokens: %s", err.msg);
    } else if (code != KV_OK || kv_token_unwrap(check->token, PROBE_PREFIX "wrap", rung, aad,
                                                kv_buf_bytes(&box), &back, &err) != KV_OK) {
        fail(check, what, &err);
    } else if (!kv_bytes_equal(kv_secret_bytes(plain), kv_secret_bytes(back))) {
        refuse(check, what, KV_E_TOKEN, "the token opened something else than it wrapped");
    } else {
        say(check, what, true, "%s: wrapped, and opened again", kv_token_rung_word(rung));
    }
    kv_buf_clear(&box);
}

/* Destroy all probe keys, of this run or an earlier one. */
static void clean(struct check *check, const char *what, const char *text)
{
    struct kv_err err;
    size_t count = 0;
    if (kv_token_destroy_prefix(check->token, PROBE_PREFIX, &count, &err) != KV_OK) {
        fail(check, what, &err);
    } else {
        say(check, what, true, "%zu objects %s", count, text);
    }
}

static void name_module(struct check *check, const char *path)
{
    struct kv_err err;
    struct kv_hash hash;
    char hex[KV_HASH_HEX_LEN];
    if (kv_pkcs11_module_hash(path, &hash, &err) != KV_OK) {
        fail(check, "module", &err);
        return;
    }
    kv_hash_hex(&hash, hex);
    say(check, "module", true, "%s", hex);
}

/* What was there before stays as it is; more than we look through would make each search blind. */
static void count_keys(struct check *check)
{
    struct kv_err err;
    size_t count = 0;
    if (kv_token_count(check->token, &count, &err) != KV_OK) {
        fail(check, "keys", &err);
        return;
    }
    say(check, "keys", true, "%zu private keys lie there; none is changed", count);
}

struct check_args {
    const struct kv_slot_opener *opener;
    const struct kv_secret *pin;
};

static enum kv_code check_work(const void *arg, const struct kv_child_out *out, struct kv_err *err)
{
    const struct check_args *args = arg;
    const struct kv_pkcs11_profile *profile = args->opener->profile;
    struct check check = {.out = out, .first = KV_OK};
    KV_CLEANUP(kv_token_closep) struct kv_token *token = NULL;
    enum kv_code code = profile != NULL
                            ? kv_pkcs11_open(profile, args->pin, &token, err)
                            : args->opener->open(args->opener->arg, args->pin, &token, err);
    if (code != KV_OK) {
        fail(&check, "login", err);
        return code;
    }
    check.token = token;
    const struct kv_token_info *info = kv_token_info(token);
    say(&check, "login", true, "token '%s', %s %s, serial %s", info->label, info->manufacturer,
        info->model, info->serial);
    if (profile != NULL) {
        name_module(&check, profile->module);
        say(&check, "uri", true, "%s", kv_pkcs11_uri(token));
    }
    say(&check, "custody", true, "%s: %s", kv_custody_word(info->custody), info->custody_why);
    clean(&check, "leftovers", "of earlier checks destroyed");
    count_keys(&check);
    check_random(&check);
    check_key(&check, KV_TOKEN_EC_P256);
    check_key(&check, KV_TOKEN_RSA_2048);
    check_wrapping(&check);
    clean(&check, "clean up", "of this check destroyed");
    if (check.first != KV_OK) {
        *err = check.why;
    }
    return check.first;
}

struct check_sink {
    void (*each)(const struct kv_slot_row *row, void *arg);
    void *arg;
};

static bool check_row(struct kv_cursor *cur, void *arg)
{
    const struct check_sink *sink = arg;
    struct kv_slot_row row;
    if (!kv_child_take_text(cur, row.what, sizeof row.what)) {
        return false;
    }
    row.ok = kv_cursor_u8(cur) == 1;
    if (!kv_child_take_text(cur, row.detail, sizeof row.detail) || !kv_cursor_done(cur)) {
        return false;
    }
    sink->each(&row, sink->arg);
    return true;
}

enum kv_code kv_slot_check(const struct kv_slot_opener *opener,
                           const struct kv_slot_account *account, const struct kv_secret *pin,
                           void (*each)(const struct kv_slot_row *row, void *arg), void *arg,
                           struct kv_err *err)
{
    struct check_args args = {opener, pin};
    struct check_sink sink = {each, arg};
    struct kv_child_job job = {.account = account,
                               .timeout_ms = CHECK_TIMEOUT_MS,
                               .work = check_work,
                               .arg = &args,
                               .secrets = {pin},
                               .row = check_row,
                               .row_arg = &sink};
    return kv_child_run(&job, err);
}
