/* A SoftHSM2 of the test's own, in a temporary folder: SOFTHSM2_CONF points to it. */
#ifndef KV_TESTS_UNIT_PKCS11_SOFTHSM_H
#define KV_TESTS_UNIT_PKCS11_SOFTHSM_H

#include <dirent.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "pkcs11/admin.h"
#include "pkcs11/token.h"
#include "tests/unit/kv_test.h"

#define USER_PIN "4711-user"
#define SO_PIN   "0815-officer"

struct softhsm {
    char dir[64], tokens[96], conf[96];
    const char *writable[1];
    struct kv_pkcs11_profile profile;
    struct kv_secret *pin, *so_pin;
};

static inline struct kv_secret *secret(const char *text)
{
    struct kv_secret *out = NULL;
    assert_int_equal(kv_secret_from(kv_bytes_str(text), &out, NULL), KV_OK);
    return out;
}

static inline const char *softhsm_module(void)
{
    static const char *const paths[] = {"/usr/lib/softhsm/libsofthsm2.so",
                                        "/usr/lib64/pkcs11/libsofthsm2.so",
                                        "/usr/lib/pkcs11/libsofthsm2.so"};
    for (size_t i = 0; i < KV_COUNT(paths); i++) {
        if (access(paths[i], R_OK) == 0) {
            return paths[i];
        }
    }
    print_message("skipped: SoftHSM2 is not installed\n");
    skip();
    return NULL;
}

/* The account that the caller has already. */
static inline struct kv_slot_account softhsm_account(void)
{
    return (struct kv_slot_account){.uid = geteuid(), .gid = getegid()};
}

/* A folder without a token. */
static inline struct softhsm *softhsm_new(void)
{
    const char *module = softhsm_module();
    struct softhsm *hsm = calloc(1, sizeof *hsm);
    assert_non_null(hsm);
    assert_int_equal(kv_secret_heap_init(NULL), KV_OK);
    (void)snprintf(hsm->dir, sizeof hsm->dir, "/tmp/kv-softhsm-XXXXXX");
    assert_non_null(mkdtemp(hsm->dir));
    (void)snprintf(hsm->tokens, sizeof hsm->tokens, "%s/tokens", hsm->dir);
    assert_int_equal(mkdir(hsm->tokens, 0700), 0);
    (void)snprintf(hsm->conf, sizeof hsm->conf, "%s/softhsm2.conf", hsm->dir);
    FILE *conf = fopen(hsm->conf, "we");
    assert_non_null(conf);
    (void)fprintf(conf,
                  "directories.tokendir = %s\nobjectstore.backend = file\nlog.level = ERROR\n",
                  hsm->tokens);
    assert_int_equal(fclose(conf), 0);
    assert_int_equal(setenv("SOFTHSM2_CONF", hsm->conf, 1), 0);
    hsm->writable[0] = hsm->tokens;
    hsm->profile = (struct kv_pkcs11_profile){.module = module,
                                              .uri = "pkcs11:token=unit",
                                              .lock_dir = hsm->dir,
                                              .writable = hsm->writable,
                                              .writable_count = 1};
    hsm->pin = secret(USER_PIN);
    hsm->so_pin = secret(SO_PIN);
    return hsm;
}

/* With the token `unit`. */
static inline struct softhsm *softhsm_ready(void)
{
    struct softhsm *hsm = softhsm_new();
    struct kv_slot_account account = softhsm_account();
    struct kv_err err = {.msg = ""};
    if (kv_slot_init(&hsm->profile, &account, "unit", hsm->so_pin, hsm->pin, &err) != KV_OK) {
        fail_msg("%s", err.msg);
    }
    return hsm;
}

static inline int softhsm_remove(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

static inline void softhsm_free(struct softhsm *hsm)
{
    assert_int_equal(nftw(hsm->dir, softhsm_remove, 8, FTW_DEPTH | FTW_PHYS), 0);
    kv_secret_free(hsm->pin);
    kv_secret_free(hsm->so_pin);
    free(hsm);
}

static inline struct kv_token *softhsm_open(const struct softhsm *hsm)
{
    struct kv_token *token = NULL;
    struct kv_err err = {.msg = ""};
    if (kv_pkcs11_open(&hsm->profile, hsm->pin, &token, &err) != KV_OK) {
        fail_msg("%s", err.msg);
    }
    return token;
}

/* The path of a file of the only token. */
static inline void softhsm_path(const struct softhsm *hsm, const char *name, char *out, size_t size)
{
    DIR *dir = opendir(hsm->tokens);
    assert_non_null(dir);
    out[0] = '\0';
    for (const struct dirent *e = readdir(dir); e != NULL; e = readdir(dir)) {
        if (e->d_name[0] != '.') {
            (void)snprintf(out, size, "%s/%s/%s", hsm->tokens, e->d_name, name);
        }
    }
    assert_int_equal(closedir(dir), 0);
    assert_int_not_equal(out[0], '\0');
}

#endif
