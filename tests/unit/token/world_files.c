/* Tokens whose keys are files: SoftHSM2, and the softokn of NSS. */
#include "tests/unit/pkcs11/softhsm.h"
#include "tests/unit/token/world.h"

#include <glob.h>

static void *softhsm2_ready(void)
{
    return softhsm_ready();
}

static enum kv_code softhsm2_open(void *made, const char *pin, struct kv_token **out,
                                  struct kv_err *err)
{
    const struct softhsm *hsm = made;
    KV_CLEANUP(kv_secret_freep) struct kv_secret *given = secret(pin);
    return kv_pkcs11_open(&hsm->profile, given, out, err);
}

static void softhsm2_free(void *made)
{
    softhsm_free(made);
}

const struct token_world world_softhsm2 = {
    .name = "softhsm2",
    .title = "SoftHSM2",
    .signs = {true, true, true},
    .rungs = {[KV_TOKEN_RUNG_AES_GCM] = true, [KV_TOKEN_RUNG_ECDH] = true},
    .best = KV_TOKEN_RUNG_AES_GCM,
    .local_told = true,
    .custody = KV_CUSTODY_SOFTWARE,
    .custody_why = "SoftHSM: its keys are files",
    .after_wrong_pin = KV_E_TOKEN_PIN_LOW,
    .objects = 2,
    .ready = softhsm2_ready,
    .open = softhsm2_open,
    .free = softhsm2_free,
    .pin = USER_PIN,
};

/* ---- NSS ---- */

struct nss {
    char dir[64], module[256], init_args[256];
    struct kv_pkcs11_profile profile;
};

static void *nss_ready(void)
{
    struct nss *nss = calloc(1, sizeof *nss);
    glob_t found;
    assert_non_null(nss);
    assert_int_equal(kv_secret_heap_init(NULL), KV_OK);
    if (glob("/usr/lib*/*/libsoftokn3.so", 0, NULL, &found) != 0) {
        free(nss);
        print_message("skipped: NSS is not installed\n");
        skip();
    }
    (void)snprintf(nss->module, sizeof nss->module, "%s", found.gl_pathv[0]);
    globfree(&found);
    (void)snprintf(nss->dir, sizeof nss->dir, "/tmp/kv-nss-XXXXXX");
    assert_non_null(mkdtemp(nss->dir));
    (void)snprintf(nss->init_args, sizeof nss->init_args,
                   "configdir='sql:%s' certPrefix='' keyPrefix='' secmod='secmod.db' "
                   "dbTokenDescription='unit' flags=",
                   nss->dir);
    nss->profile = (struct kv_pkcs11_profile){.module = nss->module,
                                              .uri = "pkcs11:token=unit",
                                              .init_args = nss->init_args,
                                              .lock_dir = nss->dir};
    struct kv_slot_account account = softhsm_account();
    KV_CLEANUP(kv_secret_freep) struct kv_secret *pin = secret(USER_PIN);
    KV_CLEANUP(kv_secret_freep) struct kv_secret *so_pin = secret(SO_PIN);
    struct kv_err err = {.msg = ""};
    if (kv_slot_init(&nss->profile, &account, "unit", so_pin, pin, &err) != KV_OK) {
        fail_msg("%s", err.msg);
    }
    return nss;
}

static enum kv_code nss_open(void *made, const char *pin, struct kv_token **out, struct kv_err *err)
{
    const struct nss *nss = made;
    KV_CLEANUP(kv_secret_freep) struct kv_secret *given = secret(pin);
    return kv_pkcs11_open(&nss->profile, given, out, err);
}

static void nss_free(void *made)
{
    struct nss *nss = made;
    assert_int_equal(nftw(nss->dir, softhsm_remove, 8, FTW_DEPTH | FTW_PHYS), 0);
    free(nss);
}

const struct token_world world_nss = {
    .name = "nss",
    .title = "NSS softokn",
    .signs = {true, true, true},
    .best = KV_TOKEN_RUNG_AES_GCM, /* but not without CKA_LOCAL */
    .custody = KV_CUSTODY_SOFTWARE,
    .custody_why = "NSS: its keys are files",
    .after_wrong_pin = KV_OK,
    .objects = 2,
    .ready = nss_ready,
    .open = nss_open,
    .free = nss_free,
    .pin = USER_PIN,
};
