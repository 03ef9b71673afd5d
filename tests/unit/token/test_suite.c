/* core/token.h, the same over every kind of token. What a token lacks is refused by its name; what
 * each offers is the row that docs/tokens.md has of it.
 *
 *   test_token_suite TOKEN           the tests
 *   test_token_suite TOKEN --row     only print its row of docs/tokens.md
 *   test_token_suite TOKEN --speed   only measure, and print the row of that */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/token/run.h"
#include "tests/unit/token/table.h"

static const struct token_world *const worlds[] = {&world_softhsm2, &world_nss, &world_tpm2_pkcs11,
                                                   &world_tpm, &world_tabrmd};
const struct token_world *world;
void *made;
struct kv_token *token;

/* ---- keys that sign ---- */

static void keys_sign_with_every_mechanism_also_after_reopening(void **state)
{
    (void)state;
    struct kv_token_key first[KV_TOKEN_KEY_TYPE_COUNT], key;
    begin();
    for (int m = 0; m < KV_TOKEN_MECHANISM_COUNT; m++) {
        if (has(mechanisms[m].key) &&
            kv_token_find(token, mechanisms[m].label, &key, NULL) != KV_OK) {
            make(mechanisms[m].label, mechanisms[m].key, &first[mechanisms[m].key]);
        }
    }
    for (int round = 0; round < 2; round++) {
        for (int m = 0; m < KV_TOKEN_MECHANISM_COUNT; m++) {
            const struct kv_token_key *want = &first[mechanisms[m].key];
            if (!has(mechanisms[m].key)) {
                continue;
            }
            find(mechanisms[m].label, &key);
            assert_int_equal(key.type, mechanisms[m].key);
            assert_true(kv_bytes_equal(kv_bytes(key.spki, key.spki_len),
                                       kv_bytes(want->spki, want->spki_len)));
            assert_true(key.sensitive && key.always_sensitive);
            assert_true(!key.extractable && key.never_extractable);
            assert_int_equal(key.local, world->local_told);
            signs(&key, (enum kv_token_mechanism)m);
        }
        open_token();
    }
}

static void a_kind_of_key_that_the_token_lacks_is_refused_by_its_name(void **state)
{
    (void)state;
    if (has(KV_TOKEN_EC_P256) && has(KV_TOKEN_RSA_2048)) {
        return;
    }
    begin();
    for (int m = 0; m < KV_TOKEN_MECHANISM_COUNT; m++) {
        struct kv_token_key key;
        struct kv_err err = {.msg = ""};
        if (has(mechanisms[m].key)) {
            continue;
        }
        assert_int_equal(kv_token_generate(token, "none", mechanisms[m].key, &key, &err),
                         world->no_key);
        if (strstr(err.msg, "CKM_RSA_PKCS") == NULL) {
            fail_msg("%s", err.msg);
        }
        /* what it left behind is destroyed after the next login, and others were not touched */
        open_token();
        enum kv_code gone = kv_token_destroy(token, "none", &err);
        assert_true(gone == KV_OK || gone == KV_E_TOKEN_KEY_MISSING);
        assert_int_equal(kv_token_find(token, "none", &key, NULL), KV_E_TOKEN_KEY_MISSING);
        if (m == KV_TOKEN_MECHANISM_COUNT - 1) {
            make("ec", KV_TOKEN_EC_P256, &key);
            signs(&key, KV_TOKEN_ECDSA);
        }
    }
}

static void a_label_is_taken_once_and_given_back(void **state)
{
    (void)state;
    struct kv_token_key key, again, other;
    struct kv_hash digest = kv_hash(kv_bytes_str("text"));
    uint8_t sig[KV_TOKEN_SIG_MAX];
    size_t len = sizeof sig;
    begin();
    assert_int_equal(kv_token_find(token, "a/../b", &key, NULL), KV_E_TOKEN_KEY_MISSING);
    assert_int_equal(kv_token_destroy(token, "a/../b", NULL), KV_E_TOKEN_KEY_MISSING);
    make("a/../b", KV_TOKEN_EC_P256, &key); /* a label is no path */
    assert_int_equal(kv_token_generate(token, "a/../b", KV_TOKEN_EC_P256, &again, NULL),
                     KV_E_TOKEN_KEY_EXISTS);
    assert_int_equal(kv_token_generate(token, "a/../b", KV_TOKEN_RSA_2048, &again, NULL),
                     KV_E_TOKEN_KEY_EXISTS);
    find("a/../b", &again);
    assert_int_equal(again.handle, key.handle); /* found once */
    assert_int_equal(kv_token_find(token, "A/../B", &again, NULL), KV_E_TOKEN_KEY_MISSING);
    assert_int_equal(kv_token_find(token, "a/..", &again, NULL), KV_E_TOKEN_KEY_MISSING);
    make("a/../bc", KV_TOKEN_EC_P256, &other);
    assert_int_equal(kv_token_destroy(token, "a/../b", NULL), KV_OK);
    assert_int_equal(kv_token_find(token, "a/../b", &again, NULL), KV_E_TOKEN_KEY_MISSING);
    assert_int_equal(kv_token_sign(token, key.handle, KV_TOKEN_ECDSA, &digest, sig, &len, NULL),
                     KV_E_TOKEN_KEY_MISSING);
    struct kv_err err = {.msg = ""};
    if (kv_token_generate(token, "a/../b", KV_TOKEN_EC_P256, &again, &err) !=
        world->after_destroying) {
        fail_msg("%s", err.msg);
    }
    open_token();
    find("a/../b", &again); /* also if its maker could not use it */
    assert_memory_not_equal(again.spki, key.spki, key.spki_len);
    signs(&again, KV_TOKEN_ECDSA);
    find("a/../bc", &again); /* the other one is what it was */
    assert_memory_equal(again.spki, other.spki, other.spki_len);
    signs(&again, KV_TOKEN_ECDSA);
}

static void strange_labels_handles_kinds_and_rooms_are_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "", "a b", "za\xc5\xbc",
        "0123456789012345678901234567890123456789012345678901234567890123"};
    struct kv_token_key key, none;
    struct kv_hash digest = kv_hash(kv_bytes_str("text"));
    uint8_t sig[KV_TOKEN_SIG_MAX];
    size_t len = sizeof sig, little = 63;
    begin();
    make(bad[3] + 1, KV_TOKEN_EC_P256, &key); /* 63 characters are the most */
    assert_int_equal(
        kv_token_sign(token, key.handle + 1000, KV_TOKEN_ECDSA, &digest, sig, &len, NULL),
        KV_E_TOKEN_KEY_MISSING);
    assert_int_equal(
        kv_token_sign(token, key.handle, KV_TOKEN_RSA_PSS_SHA256, &digest, sig, &len, NULL),
        KV_E_TOKEN_MECHANISM);
    assert_int_equal(kv_token_sign(token, key.handle, KV_TOKEN_ECDSA, &digest, sig, &little, NULL),
                     KV_E_LIMIT);
    for (size_t i = 0; i < KV_COUNT(bad); i++) {
        assert_int_equal(kv_token_generate(token, bad[i], KV_TOKEN_EC_P256, &none, NULL),
                         KV_E_LIMIT);
        assert_int_equal(kv_token_find(token, bad[i], &none, NULL), KV_E_LIMIT);
        assert_int_equal(kv_token_destroy(token, bad[i], NULL), KV_E_LIMIT);
    }
    signs(&key, KV_TOKEN_ECDSA);
}

/* A TPM has room for three objects; nothing of that is to be seen. */
static void many_keys_are_used_in_turn_counted_and_destroyed_by_prefix(void **state)
{
    (void)state;
    static const char *const labels[] = {"probe-1", "probe-2", "prob", "a", "b", "c", "d", "e"};
    struct kv_token_key key[KV_COUNT(labels)], none;
    size_t count = 0;
    begin();
    for (size_t i = 0; i < KV_COUNT(labels); i++) {
        make(labels[i], KV_TOKEN_EC_P256, &key[i]);
    }
    for (size_t i = 0; i < 3 * KV_COUNT(labels); i++) {
        signs(&key[i % KV_COUNT(labels)], KV_TOKEN_ECDSA);
        assert_int_equal(kv_token_find(token, "none", &none, NULL), KV_E_TOKEN_KEY_MISSING);
        assert_int_equal(kv_token_generate(token, labels[0], KV_TOKEN_EC_P256, &none, NULL),
                         KV_E_TOKEN_KEY_EXISTS);
    }
    assert_int_equal(kv_token_count(token, &count, NULL), KV_OK);
    assert_int_equal(count, KV_COUNT(labels));
    assert_int_equal(kv_token_destroy_prefix(token, "probe-", &count, NULL), KV_OK);
    assert_int_equal(count, 2 * world->objects);
    assert_int_equal(kv_token_find(token, "probe-1", &none, NULL), KV_E_TOKEN_KEY_MISSING);
    open_token();
    assert_int_equal(kv_token_count(token, &count, NULL), KV_OK);
    assert_int_equal(count, KV_COUNT(labels) - 2);
    find("prob", &none);
}

/* ---- secrets that lie outside ---- */

static void best_rung_is_told(void)
{
    struct kv_err err = {.msg = ""};
    enum kv_token_rung rung;
    enum kv_code code = kv_token_best_rung(token, &rung, &err);
    if (world->best == KV_TOKEN_RUNG_COUNT) {
        assert_int_equal(code, KV_E_TOKEN_MECHANISM);
        assert_non_null(strstr(err.msg, "neither AES-GCM nor ECDH"));
    } else {
        assert_int_equal(code, KV_OK);
        assert_int_equal(rung, world->best);
    }
}

/* Least of all by wrapping what nobody could unwrap. */
static void a_rung_that_the_token_lacks_is_refused_by_its_name(void **state)
{
    (void)state;
    struct kv_secret *plain = NULL, *out = NULL;
    size_t count = 1;
    begin();
    best_rung_is_told();
    assert_int_equal(kv_secret_from(kv_bytes_str(SECRET), &plain, NULL), KV_OK);
    for (int r = 0; r < KV_TOKEN_RUNG_COUNT; r++) {
        enum kv_token_rung rung = (enum kv_token_rung)r;
        struct kv_err err = {.msg = ""};
        struct kv_buf box;
        if (world->rungs[r]) {
            continue;
        }
        kv_buf_init(&box, 4096);
        for (int again = 0; again < 2; again++) { /* nor is the key there that was made for it */
            assert_int_equal(kv_token_wrap(token, LABEL, rung, aad(), plain, &box, &err),
                             KV_E_TOKEN_MECHANISM);
            assert_non_null(strstr(err.msg, kv_token_rung_word(rung)));
        }
        assert_int_equal(box.len, 0);
        enum kv_code code =
            kv_token_unwrap(token, LABEL, rung, aad(), kv_bytes_str("anything"), &out, &err);
        assert_true(code == KV_E_TOKEN_MECHANISM || code == KV_E_TOKEN_KEY_MISSING);
        assert_null(out);
    }
    assert_int_equal(kv_token_count(token, &count, NULL), KV_OK);
    assert_int_equal(count, 0);
    kv_secret_free(plain);
}

static bool wraps(void)
{
    bool any = false;
    for (int r = 0; r < KV_TOKEN_RUNG_COUNT; r++) {
        any = any || world->rungs[r];
    }
    return any;
}

static void a_wrapped_secret_opens_again_in_a_later_session(void **state)
{
    (void)state;
    struct kv_secret *plain = NULL, *large = NULL;
    struct kv_buf box[KV_TOKEN_RUNG_COUNT], long_box[KV_TOKEN_RUNG_COUNT], again;
    if (!wraps()) {
        return;
    }
    begin();
    assert_int_equal(kv_secret_from(kv_bytes_str(SECRET), &plain, NULL), KV_OK);
    assert_int_equal(kv_secret_new(8192, &large, NULL), KV_OK); /* a refresh token at its limit */
    memset(kv_secret_data(large), 'j', 8192);
    for (int r = 0; r < KV_TOKEN_RUNG_COUNT; r++) {
        if (world->rungs[r]) {
            wrap((enum kv_token_rung)r, plain, &box[r]);
            wrap((enum kv_token_rung)r, large, &long_box[r]);
            wrap((enum kv_token_rung)r, plain, &again); /* the same key, another IV */
            assert_false(kv_bytes_equal(kv_buf_bytes(&box[r]), kv_buf_bytes(&again)));
            assert_null(memmem(box[r].data, box[r].len, "nip-", 4));
            kv_buf_clear(&again);
        }
    }
    open_token();
    for (int r = 0; r < KV_TOKEN_RUNG_COUNT; r++) {
        if (world->rungs[r]) {
            opens((enum kv_token_rung)r, &box[r], plain);
            opens((enum kv_token_rung)r, &long_box[r], large);
            kv_buf_clear(&box[r]);
            kv_buf_clear(&long_box[r]);
        }
    }
    kv_secret_free(plain);
    kv_secret_free(large);
}

static void nothing_of_a_wrapped_secret_may_change(void **state)
{
    (void)state;
    struct kv_secret *plain = NULL, *out = NULL;
    if (!wraps()) {
        return;
    }
    begin();
    assert_int_equal(kv_secret_from(kv_bytes_str(SECRET), &plain, NULL), KV_OK);
    for (int r = 0; r < KV_TOKEN_RUNG_COUNT; r++) {
        enum kv_token_rung rung = (enum kv_token_rung)r;
        struct kv_buf box, other;
        if (!world->rungs[r]) {
            continue;
        }
        wrap(rung, plain, &box);
        struct kv_bytes bytes = kv_buf_bytes(&box);
        assert_int_equal(kv_token_unwrap(token, "other", rung, aad(), bytes, &out, NULL),
                         KV_E_TOKEN_KEY_MISSING);
        kv_buf_init(&other, 4096);
        assert_int_equal(kv_token_wrap(token, "other", rung, aad(), plain, &other, NULL), KV_OK);
        /* another's key, another purpose */
        assert_int_equal(
            kv_token_unwrap(token, LABEL, rung, aad(), kv_buf_bytes(&other), &out, NULL),
            KV_E_TOKEN_WRAPPED);
        assert_int_equal(kv_token_unwrap(token, "other", rung, aad(), bytes, &out, NULL),
                         KV_E_TOKEN_WRAPPED);
        assert_int_equal(
            kv_token_unwrap(token, LABEL, rung, kv_bytes_str("else"), bytes, &out, NULL),
            KV_E_TOKEN_WRAPPED);
        for (size_t i = 0; i < box.len; i++) {
            box.data[i] ^= 1;
            assert_int_equal(kv_token_unwrap(token, LABEL, rung, aad(), bytes, &out, NULL),
                             KV_E_TOKEN_WRAPPED);
            box.data[i] ^= 1;
        }
        for (size_t len = 0; len < box.len; len += 7) {
            assert_int_equal(
                kv_token_unwrap(token, LABEL, rung, aad(), kv_bytes(box.data, len), &out, NULL),
                KV_E_TOKEN_WRAPPED);
        }
        assert_null(out);
        opens(rung, &box, plain);
        kv_buf_clear(&box);
        kv_buf_clear(&other);
    }
    kv_secret_free(plain);
}

/* ---- logins ---- */

static void a_token_says_how_well_it_keeps_keys_and_gives_random_numbers(void **state)
{
    (void)state;
    uint8_t a[200] = {0}, b[200] = {0}, none[8] = {0};
    begin();
    const struct kv_token_info *info = kv_token_info(token);
    assert_string_equal(info->label, "unit");
    assert_int_equal(info->custody, world->custody);
    if (strstr(info->custody_why, world->custody_why) == NULL) {
        fail_msg("%s", info->custody_why);
    }
    assert_int_equal(kv_token_random(token, a, sizeof a, NULL), KV_OK);
    assert_int_equal(kv_token_random(token, b, sizeof b, NULL), KV_OK);
    assert_memory_not_equal(a, b, sizeof a);
    assert_memory_not_equal(a + sizeof a - sizeof none, none, sizeof none);
    assert_int_equal(kv_token_random(token, a, 1, NULL), KV_OK);
}

static void a_wrong_pin_is_tried_once_and_told(void **state)
{
    (void)state;
    struct kv_err err = {.msg = ""};
    begin();
    kv_token_closep(&token);
    assert_int_equal(world->open(made, "not the PIN of this slot", &token, &err), KV_E_TOKEN_PIN);
    assert_null(strstr(err.msg, "not the PIN of this slot"));
    assert_null(token);
    assert_int_equal(world->open(made, world->pin, &token, &err), world->after_wrong_pin);
}

struct user {
    pid_t pid;
    int go, ready; /* pipes to it, and from it */
};

/* A process of its own that waits for its turn, then opens the token, makes a key, uses it, says so
 * and waits to be killed. */
static void be_user(const char *label, int go, int ready)
{
    struct kv_token_key key;
    struct kv_hash digest = kv_hash(kv_bytes_str("text"));
    uint8_t sig[KV_TOKEN_SIG_MAX];
    size_t len = sizeof sig;
    struct kv_err err = {.msg = ""};
    char byte;
    if (read(go, &byte, 1) == 1 && world->open(made, world->pin, &token, &err) == KV_OK &&
        kv_token_generate(token, label, KV_TOKEN_EC_P256, &key, &err) == KV_OK &&
        kv_token_sign(token, key.handle, KV_TOKEN_ECDSA, &digest, sig, &len, &err) == KV_OK &&
        write(ready, "r", 1) == 1) {
        for (;;) {
            (void)pause();
        }
    }
    (void)fprintf(stderr, "%s\n", err.msg);
    _exit(1);
}

static struct user new_user(const char *label)
{
    int go[2], ready[2];
    assert_int_equal(pipe2(go, O_CLOEXEC), 0);
    assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        (void)close(go[1]); /* or it would never see the end of a test that failed */
        be_user(label, go[0], ready[1]);
    }
    assert_int_equal(close(go[0]), 0);
    assert_int_equal(close(ready[1]), 0);
    return (struct user){pid, go[1], ready[0]};
}

static void another_process_is_held_off_until_the_first_was_killed(void **state)
{
    (void)state;
    struct user users[5]; /* more than a TPM has places, if they were not given back */
    struct kv_token_key key;
    char label[16], byte;
    made = world->ready();
    for (size_t i = 0; i < KV_COUNT(users); i++) { /* before a module is in this process */
        (void)snprintf(label, sizeof label, "killed-%zu", i);
        users[i] = new_user(label);
    }
    for (size_t i = 0; i < KV_COUNT(users); i++) {
        assert_int_equal(write(users[i].go, "g", 1), 1);
        assert_int_equal(read(users[i].ready, &byte, 1), 1);
        assert_int_equal(world->open(made, world->pin, &token, NULL), KV_E_TOKEN_IN_USE);
        assert_int_equal(kill(users[i].pid, SIGKILL), 0);
        assert_int_equal(waitpid(users[i].pid, NULL, 0), users[i].pid);
        assert_int_equal(close(users[i].go), 0);
        assert_int_equal(close(users[i].ready), 0);
    }
    open_token();
    for (size_t i = 0; i < KV_COUNT(users); i++) {
        (void)snprintf(label, sizeof label, "killed-%zu", i);
        find(label, &key);
        signs(&key, KV_TOKEN_ECDSA);
    }
}

static void the_document_says_what_was_found(void **state)
{
    (void)state;
    char *row = NULL, *line = NULL;
    size_t size = 0;
    bool found = false;
    FILE *doc = fopen(KV_DOCS "/tokens.md", "re");
    assert_non_null(doc);
    table_row(&row);
    while (!found && getline(&line, &size, doc) > 0) {
        found = strcmp(line, row) == 0;
    }
    assert_int_equal(fclose(doc), 0);
    if (!found) {
        fail_msg("docs/tokens.md lacks the row (ci/tokens prints them all):\n%s", row);
    }
    free(line);
    free(row);
}

/* A module's leaks are not ours to mend; what we leak is seen with the others. */
__attribute__((visibility("default"))) int __lsan_is_turned_off(void);
int __lsan_is_turned_off(void)
{
    return world->leaks ? 1 : 0;
}

/* In a process of its own: a module may have threads, and must not be there when a test forks. */
static int alone(const struct CMUnitTest *test)
{
    int status = -1;
    (void)fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        struct CMUnitTest tests[] = {*test};
        tests[0].teardown_func = end;
        exit(cmocka_run_group_tests_name(world->name, tests, NULL, NULL));
    }
    return pid > 0 && waitpid(pid, &status, 0) == pid && status == 0 ? 0 : 1;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_sign_with_every_mechanism_also_after_reopening),
        cmocka_unit_test(a_kind_of_key_that_the_token_lacks_is_refused_by_its_name),
        cmocka_unit_test(a_label_is_taken_once_and_given_back),
        cmocka_unit_test(strange_labels_handles_kinds_and_rooms_are_refused),
        cmocka_unit_test(many_keys_are_used_in_turn_counted_and_destroyed_by_prefix),
        cmocka_unit_test(a_rung_that_the_token_lacks_is_refused_by_its_name),
        cmocka_unit_test(a_wrapped_secret_opens_again_in_a_later_session),
        cmocka_unit_test(nothing_of_a_wrapped_secret_may_change),
        cmocka_unit_test(a_token_says_how_well_it_keeps_keys_and_gives_random_numbers),
        cmocka_unit_test(a_wrong_pin_is_tried_once_and_told),
        cmocka_unit_test(another_process_is_held_off_until_the_first_was_killed),
        cmocka_unit_test(the_document_says_what_was_found),
    };
    for (size_t i = 0; argc > 1 && i < KV_COUNT(worlds); i++) {
        world = strcmp(argv[1], worlds[i]->name) == 0 ? worlds[i] : world;
    }
    if (world == NULL) {
        (void)fprintf(stderr, "which token?\n");
        return 2;
    }
    const struct CMUnitTest speed = cmocka_unit_test(table_measure);
    int failed = 0;
    if (argc > 2 && strcmp(argv[2], "--speed") == 0) {
        return alone(&speed);
    }
    if (argc > 2) {
        char *row = NULL;
        table_row(&row);
        (void)fputs(row, stdout);
        free(row);
        return 0;
    }
    for (size_t i = 0; i < KV_COUNT(tests); i++) {
        failed += alone(&tests[i]);
    }
    return failed == 0 ? 0 : 1;
}
