#include "core/config.h"

#include "tests/unit/kv_test.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define GOOD                                                                                       \
    "vault: vault.example.com/nip-5265877635\n"                                                    \
    "log-slot: main\n"                                                                             \
    "slots:\n"                                                                                     \
    "  - name: main\n"                                                                             \
    "    module: /usr/lib/softhsm/libsofthsm2.so\n"                                                \
    "    uri: \"pkcs11:token=ksefvault\"\n"                                                        \
    "    pin: file:/etc/ksefvault/pin/main\n"                                                      \
    "ksef:\n"                                                                                      \
    "  environment: test\n"                                                                        \
    "  url: https://api-test.ksef.mf.gov.pl/v2\n"

#define SLOT(text)                                                                                 \
    "vault: a/b\nlog-slot: main\nslots:\n  - {name: main, " text "}\n"                             \
    "ksef: {environment: test, url: https://x/v2}\n"

#define PKCS11 "module: /m, uri: \"pkcs11:a=b\", "

static enum kv_code load(const char *text, struct kv_config **out, struct kv_err *err)
{
    char path[] = "/tmp/kv-config-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    assert_int_equal(close(fd), 0);
    struct kv_hash digest;
    enum kv_code code = kv_config_load(path, out, &digest, err);
    assert_int_equal(unlink(path), 0);
    return code;
}

static void a_good_file_is_read_with_its_defaults(void **state)
{
    (void)state;
    struct kv_err err;
    KV_CLEANUP(kv_config_freep) struct kv_config *config = NULL;
    assert_int_equal(load(GOOD, &config, &err), KV_OK);
    assert_string_equal(config->vault, "vault.example.com/nip-5265877635");
    assert_string_equal(config->state, "/var/lib/ksefvault");
    assert_string_equal(config->socket, KV_SOCKET_PATH);
    assert_string_equal(config->user_keeper, "ksefvault-keeper");
    assert_non_null(kv_config_slot(config, "main"));
    assert_null(kv_config_slot(config, "other"));
}

static void bad_files_are_refused_with_the_key_named(void **state)
{
    (void)state;
    static const struct {
        const char *what, *text, *named;
    } rows[] = {
        {"empty", "", ""},
        {"not yaml", "vault: [", ""},
        {"unknown key", GOOD "colour: red\n", "colour"},
        {"missing key", "vault: a/b\n", ""},
        {"vault grammar",
         "vault: UPPER\nlog-slot: main\nslots:\n  - {name: main, module: /m, uri: \"pkcs11:a=b\", "
         "pin: "
         "file:/p}\nksef: {environment: test, url: https://x/v2}\n",
         "vault"},
        {"relative module",
         "vault: a/b\nlog-slot: main\nslots:\n  - {name: main, module: m, uri: \"pkcs11:a=b\", "
         "pin: "
         "file:/p}\nksef: {environment: test, url: https://x/v2}\n",
         "module"},
        {"neither a module nor a TPM", SLOT("pin: file:/p"), "or tpm"},
        {"a module without a URI", SLOT("module: /m, pin: file:/p"), "uri"},
        {"both", SLOT("tpm: \"device:/dev/tpmrm0\", module: /m, pin: file:/p"), "beside tpm"},
        {"a TPM with a network", SLOT("tpm: tabrmd, network: none, pin: file:/p"), "beside tpm"},
        {"a way that nobody knows", SLOT("tpm: \"cmd:ls\", pin: file:/p"), "tpm is"},
        {"a device that is no TPM", SLOT("tpm: \"device:/dev/sda\", pin: file:/p"), "tpm is"},
        {"makers of TPMs, and no TPM",
         SLOT("module: /m, uri: \"pkcs11:a\", tpm-roots: /r, pin: file:/p"), "is for a tpm"},
        {"makers at no absolute path", SLOT("tpm: tabrmd, tpm-roots: r.pem, pin: file:/p"),
         "absolute path"},
        {"a TPM with a pad", SLOT("tpm: tabrmd, pin: protected"),
         "sealed:/PATH or prompt (a TPM has no pad), never the PIN"},
        {"a sealed PIN without the way to its TPM", SLOT(PKCS11 "pin: \"sealed:/p\""), "pin-tpm"},
        {"a way that nobody knows to it", SLOT(PKCS11 "pin: \"sealed:/p\", pin-tpm: \"cmd:ls\""),
         "pin-tpm"},
        {"a way and nothing sealed", SLOT(PKCS11 "pin: prompt, pin-tpm: tabrmd"), "pin-tpm"},
        {"a second TPM for a TPM's PIN", SLOT("tpm: tabrmd, pin: \"sealed:/p\", pin-tpm: tabrmd"),
         "pin-tpm"},
        {"a sealed PIN in no absolute place", SLOT(PKCS11 "pin: \"sealed:p\", pin-tpm: tabrmd"),
         "pin must be"},
        {"a PIN instead of its source",
         "vault: a/b\nlog-slot: main\nslots:\n  - {name: main, module: /m, uri: \"pkcs11:a=b\", "
         "pin: "
         "\"1234\"}\nksef: {environment: test, url: https://x/v2}\n",
         "pin"},
        {"plain http",
         "vault: a/b\nlog-slot: main\nslots:\n  - {name: main, module: /m, uri: \"pkcs11:a=b\", "
         "pin: "
         "file:/p}\nksef: {environment: test, url: http://x/v2}\n",
         "https"},
        {"unknown environment",
         "vault: a/b\nlog-slot: main\nslots:\n  - {name: main, module: /m, uri: \"pkcs11:a=b\", "
         "pin: "
         "file:/p}\nksef: {environment: live, url: https://x/v2}\n",
         "environment"},
        {"log slot that does not exist",
         "vault: a/b\nlog-slot: other\nslots:\n  - {name: main, module: /m, uri: \"pkcs11:a=b\", "
         "pin: "
         "file:/p}\nksef: {environment: test, url: https://x/v2}\n",
         "log-slot"},
        {"alias", "vault: &a a/b\nlog-slot: *a\n", ""},
        {"broken UTF-8", "vault: \xff\n", "UTF-8"},
    };
    for (size_t i = 0; i < KV_COUNT(rows); i++) {
        struct kv_err err = {.msg = ""};
        struct kv_config *config = NULL;
        assert_int_equal(load(rows[i].text, &config, &err), KV_E_CONFIG);
        assert_null(config);
        if (strstr(err.msg, rows[i].named) == NULL) {
            fail_msg("%s: '%s' is not in: %s", rows[i].what, rows[i].named, err.msg);
        }
    }
}

static void a_tpm_needs_its_way_and_a_pin(void **state)
{
    (void)state;
    struct kv_err err = {.msg = ""};
    struct kv_config *config = NULL;
    char folder[64];
    assert_int_equal(load(SLOT("tpm: \"swtpm:path=/run/tpm\", pin: file:/p"), &config, &err),
                     KV_OK);
    assert_string_equal(config->slots[0].tpm, "swtpm:path=/run/tpm");
    assert_null(config->slots[0].tpm_roots);
    assert_null(config->slots[0].module);
    kv_config_free(config);
    assert_true(kv_config_tpm_folder("/s", "main", folder, sizeof folder));
    assert_string_equal(folder, "/s/keeper/tpm/main");
    assert_false(kv_config_tpm_folder("/s", "main", folder, 5));
}

static void a_pin_comes_from_many_places(void **state)
{
    (void)state;
    static const struct {
        const char *text, *way; /* to the TPM that it is sealed in */
    } rows[] = {{SLOT(PKCS11 "pin: credential:p"), NULL},
                {SLOT(PKCS11 "pin: prompt"), NULL},
                {SLOT(PKCS11 "pin: protected"), NULL},
                {SLOT(PKCS11 "pin: \"sealed:/p\", pin-tpm: tabrmd"), "tabrmd"},
                {SLOT("tpm: \"device:/dev/tpmrm0\", pin: \"sealed:/p\""), "device:/dev/tpmrm0"},
                {SLOT("tpm: tabrmd, pin: prompt"), NULL}};
    for (size_t i = 0; i < KV_COUNT(rows); i++) {
        struct kv_err err = {.msg = ""};
        struct kv_config *config = NULL;
        char path[64];
        assert_int_equal(load(rows[i].text, &config, &err), KV_OK);
        const char *way = kv_config_pin_tpm(&config->slots[0]);
        assert_int_equal(way == NULL, rows[i].way == NULL);
        assert_true(way == NULL || strcmp(way, rows[i].way) == 0);
        assert_true(kv_config_prompt_path(config, "main", path, sizeof path));
        assert_string_equal(path, "/run/ksefvault/pin-main");
        assert_false(kv_config_prompt_path(config, "main", path, 8));
        kv_config_free(config);
    }
}

static void a_file_that_is_not_there_is_said_so(void **state)
{
    (void)state;
    struct kv_err err;
    struct kv_config *config = NULL;
    assert_int_equal(kv_config_load("/nonexistent/x.yaml", &config, NULL, &err), KV_E_CONFIG);
    assert_int_equal(err.cause.kind, KV_CAUSE_ERRNO);
}

static void at_most_64_kib_are_read(void **state)
{
    (void)state;
    static char text[65536 + 64];
    struct kv_err err;
    struct kv_config *config = NULL;
    memset(text, '#', sizeof text - 1);
    memcpy(text, GOOD, strlen(GOOD));
    text[65537] = '\0';
    assert_int_equal(load(text, &config, &err), KV_E_CONFIG);
    text[65536] = '\0';
    assert_int_equal(load(text, &config, &err), KV_OK);
    kv_config_free(config);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_good_file_is_read_with_its_defaults),
        cmocka_unit_test(bad_files_are_refused_with_the_key_named),
        cmocka_unit_test(a_file_that_is_not_there_is_said_so),
        cmocka_unit_test(at_most_64_kib_are_read),
        cmocka_unit_test(a_tpm_needs_its_way_and_a_pin),
        cmocka_unit_test(a_pin_comes_from_many_places),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
