#include "cli/sign.h"

#include "cli/file.h"
#include "cli/out.h"

const struct cli_option cli_signer_options[] = {
    {"as", "PERSON", CLI_REQUIRED, "who signs"},
    {"key", "FILE", CLI_OPTIONAL,
     "the key to sign with: private key file, or .pub of a key in ssh-agent; with --out also a "
     "fingerprint"},
    {"out", "FILE", CLI_OPTIONAL, "write the text, to be signed elsewhere; nothing is handed in"},
    {NULL, NULL, CLI_OPTIONAL, NULL},
};

static bool ends_with(const char *text, const char *end)
{
    size_t n = strlen(text);
    size_t m = strlen(end);
    return n >= m && strcmp(text + n - m, end) == 0;
}

enum kv_code cli_public_key(const char *path, struct kv_pubkey *out, struct kv_err *err)
{
    struct kv_buf buf;
    enum kv_code code;
    kv_buf_init(&buf, 16384);
    KV_CLEANUP(kv_freep)
    char *beside = ends_with(path, ".pub") ? cli_path_add(path, "") : cli_path_add(path, ".pub");
    if (ends_with(path, ".pub") || cli_file_exists(beside)) {
        code = cli_file_read(beside, &buf, err);
    } else {
        const char *argv[] = {"ssh-keygen", "-y", "-f", path, NULL};
        int status = 1;
        code = cli_program(argv, KV_BYTES_NULL, &buf, &status, err);
        if (code == KV_OK && status != 0) {
            code = KV_REFUSE(err, KV_E_INPUT_VALUE, "ssh-keygen cannot read the key %.120s", path);
        }
    }
    if (code == KV_OK) {
        code = kv_pubkey_parse_file(kv_buf_bytes(&buf), out, err);
        code = code == KV_OK ? KV_OK : kv_wrap(err, "%.100s", path);
    }
    kv_buf_clear(&buf);
    return code;
}

/* The one key that the person can sign with, as the agent knows it. */
static enum kv_code look_up_key(struct cli *cli, struct cli_signer *signer, struct kv_err *err)
{
    json_t *person = NULL;
    json_t *key;
    size_t i;
    const char *found = NULL;
    if (cli_find(cli, KV_CALL_PERSONS, "persons", "id", signer->person, &person, err) != KV_OK) {
        return kv_wrap(err, "which key of %s? (--key tells)", signer->person);
    }
    bool several = false;
    json_array_foreach(json_object_get(person, "keys"), i, key)
    {
        const char *state = cli_str(key, "state");
        if (state[0] == '\0' || strcmp(state, "good") == 0) {
            several = found != NULL;
            found = cli_str(key, "key");
        }
    }
    enum kv_code code = KV_OK;
    if (found == NULL || several || strlen(found) >= sizeof signer->key) {
        code = KV_REFUSE(err, KV_E_USAGE, "%s has %s: name it with --key", signer->person,
                         several ? "several keys" : "no key that is good");
    } else {
        memcpy(signer->key, found, strlen(found) + 1);
    }
    json_decref(person);
    return code;
}

static enum kv_code take_fingerprint(const char *text, struct cli_signer *out, struct kv_err *err)
{
    int n = snprintf(out->key, sizeof out->key, "%s%s",
                     strncmp(text, "ssh:", 4) == 0 ? "" : "ssh:", text);
    if (n < 0 || n >= (int)sizeof out->key || !kv_approval_key_valid(kv_bytes_str(out->key))) {
        return KV_REFUSE(err, KV_E_USAGE, "--key: '%.80s' is no fingerprint ssh:SHA256:...", text);
    }
    return KV_OK;
}

enum kv_code cli_signer(struct cli *cli, struct cli_signer *out, struct kv_err *err)
{
    const char *key = cli_get(cli, "key");
    bool elsewhere = cli_get(cli, "out") != NULL || strcmp(cli->verb->noun, "statement") == 0;
    *out = (struct cli_signer){.person = cli_get(cli, "as")};
    if (!kv_id_valid(kv_bytes_str(out->person))) {
        return KV_REFUSE(err, KV_E_USAGE, "--as: '%.64s' is not the id of a person", out->person);
    }
    if (key == NULL && !elsewhere) {
        return KV_REFUSE(err, KV_E_USAGE,
                         "--key FILE is missing (or --out FILE, to sign elsewhere)");
    }
    if (key == NULL) {
        return look_up_key(cli, out, err);
    }
    if (strncmp(key, "ssh:SHA256:", 11) == 0 || strncmp(key, "SHA256:", 7) == 0) {
        return elsewhere ? take_fingerprint(key, out, err)
                         : KV_REFUSE(err, KV_E_USAGE,
                                     "a fingerprint cannot sign: --key FILE, or --out FILE");
    }
    struct kv_pubkey public;
    if (cli_public_key(key, &public, err) != KV_OK) {
        return err->code;
    }
    memcpy(out->key, public.fingerprint, sizeof out->key);
    out->key_file = elsewhere ? NULL : key;
    return KV_OK;
}

enum kv_code cli_sign(const char *key_file, const char *fingerprint, struct kv_bytes text,
                      struct kv_buf *armour, struct kv_err *err)
{
    const char *argv[] = {"ssh-keygen",        "-q", "-Y",     "sign", "-n",
                          KV_SSHSIG_NAMESPACE, "-f", key_file, NULL};
    struct kv_buf out;
    int status = 1;
    kv_buf_init(&out, KV_SSHSIG_ARMOUR_MAX);
    enum kv_code code = cli_program(argv, text, &out, &status, err);
    if (code == KV_OK && status != 0) {
        code = KV_REFUSE(err, KV_E_SIG_BAD, "ssh-keygen did not sign with %.120s (status %d)",
                         key_file, status);
    }
    if (code == KV_OK) {
        code = kv_sshsig_verify(text, kv_buf_bytes(&out), kv_bytes_str(fingerprint), NULL, err);
    }
    if (code == KV_OK) {
        kv_buf_add_bytes(armour, kv_buf_bytes(&out));
    }
    kv_buf_clear(&out);
    return code;
}
