/* slot, its PIN: sealed to a TPM, so that the agent starts unattended; approved anew after an
 * update; handed over by hand when all else fails. */
#include "cli/cmd.h"

#include "cli/file.h"
#include "cli/out.h"
#include "cli/slot.h"
#include "core/public.h"
#include "pkcs11/child.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <sys/stat.h>

#define CHANGE_TIMEOUT_MS 120000 /* as of slot init */
#define PEM_MAX           4096
#define SIGNATURE_MAX     128 /* DER of two 32-byte numbers needs 72 */
#define SUFFIX            ".sig"

static const struct cli_option seal_options[] = {
    {"pcr", "sha256:N,N,...", CLI_OPTIONAL,
     "open it only while these PCRs are in a state that the authority has signed"},
    {"authority", "FILE", CLI_OPTIONAL, "the authority's public key, EC P-256, PEM"},
    {"replace", NULL, CLI_OPTIONAL,
     "replace the one that is there; its PCRs and approvals stay if no others are named"},
    {"pin-fd", "N", CLI_OPTIONAL, "read the PIN from this descriptor (default: a question)"},
    {"pin-credential", "NAME", CLI_OPTIONAL, "... from this systemd credential"},
    {NULL, NULL, CLI_OPTIONAL, NULL},
};
static const struct cli_option approve_options[] = {
    {"out", "FILE", CLI_OPTIONAL, "write what the authority signs: the state of the PCRs as it is"},
    {"pcr-digest", "HEX", CLI_OPTIONAL,
     "with --out: instead, PCRs whose values, one after the other, have this SHA-256"},
    {"signed", "FILE", CLI_OPTIONAL, "take over such a file and its signature, FILE" SUFFIX},
    {NULL, NULL, CLI_OPTIONAL, NULL},
};
static const struct cli_option change_options[] = {
    {"pin-fd", "N", CLI_OPTIONAL,
     "read the PIN as it is from this descriptor (default, as root: the "
     "configured source; else a question)"},
    {"pin-credential", "NAME", CLI_OPTIONAL, "... from this systemd credential"},
    {"new-pin-fd", "N", CLI_OPTIONAL,
     "read the new one from this descriptor (default: a question)"},
    {"new-pin-credential", "NAME", CLI_OPTIONAL, "... from this systemd credential"},
    {NULL, NULL, CLI_OPTIONAL, NULL},
};
static const struct cli_option unlock_options[] = {
    {"prompt", NULL, CLI_OPTIONAL, "ask for the PIN, for this start alone"},
    {"pin-fd", "N", CLI_OPTIONAL, "... or read it from this descriptor"},
    {"pin-credential", "NAME", CLI_OPTIONAL, "... or from this systemd credential"},
    {NULL, NULL, CLI_OPTIONAL, NULL},
};

/* ---- seal-pin ---- */

/* SubjectPublicKeyInfo of a PEM file; which kinds of keys will do is not said here. */
static enum kv_code read_authority(const char *path, struct kv_buf *out, struct kv_err *err)
{
    struct kv_buf text;
    unsigned char *der = NULL;
    kv_buf_init(&text, PEM_MAX);
    enum kv_code code = cli_file_read(path, &text, err);
    struct kv_bytes pem = kv_buf_bytes(&text);
    BIO *bio = code == KV_OK ? BIO_new_mem_buf(pem.ptr, (int)pem.len) : NULL;
    EVP_PKEY *key = bio == NULL ? NULL : PEM_read_bio_PUBKEY(bio, NULL, NULL, NULL);
    int len = key == NULL ? 0 : i2d_PUBKEY(key, &der);
    if (len > 0) {
        kv_buf_add(out, der, (size_t)len);
    } else if (code == KV_OK) {
        code = KV_REFUSE(err, KV_E_INPUT_VALUE,
                         "%.100s is no public key in PEM (openssl pkey -pubout makes one)", path);
    }
    OPENSSL_free(der);
    EVP_PKEY_free(key);
    BIO_free(bio);
    kv_buf_clear(&text);
    return code;
}

/* The approvals of the one that was there are as good for the same authority, PCRs and TPM, since
 * they name the slot and not the object. */
static void keep_approvals(const struct kv_tpm_pin *old, struct kv_tpm_pin *fresh)
{
    if (fresh->pcrs[0] != '\0' && strcmp(old->pcrs, fresh->pcrs) == 0 &&
        old->storage.size == fresh->storage.size &&
        memcmp(old->storage.name, fresh->storage.name, old->storage.size) == 0 &&
        CRYPTO_memcmp(old->authority, fresh->authority, sizeof fresh->authority) == 0) {
        memcpy(fresh->approval, old->approval, sizeof fresh->approval);
        fresh->approval_count = old->approval_count;
    }
}

/* Another PIN is sealed as the former one was: nobody lets PCRs go by leaving them out. */
static enum kv_code former_authority(const struct kv_tpm_pin *old, struct kv_buf *spki,
                                     struct kv_err *err)
{
    struct kv_token_key key;
    if (!kv_public_from_point(kv_bytes(old->authority, sizeof old->authority), &key)) {
        return KV_REFUSE(err, KV_E_PIN_DAMAGED, "the authority of slot '%s' is no key", old->slot);
    }
    kv_buf_add(spki, key.spki, key.spki_len);
    return KV_OK;
}

static enum kv_code seal(struct cli *cli, const struct slot *slot, struct kv_tpm_pin *out,
                         struct kv_err *err)
{
    const char *pcrs = cli_get(cli, "pcr"), *authority = cli_get(cli, "authority");
    const char *path = strchr(slot->pin_source, '/');
    struct kv_buf spki;
    struct kv_err why;
    KV_CLEANUP(kv_freep) struct kv_tpm_pin *old = calloc(1, sizeof *old); /* large for a stack */
    KV_CLEANUP(kv_secret_freep) struct kv_secret *pin = NULL;
    if ((pcrs == NULL) != (authority == NULL)) {
        return KV_REFUSE(err, KV_E_USAGE,
                         "--pcr and --authority go together: PCRs change, and somebody has to say "
                         "which are good");
    }
    if (!cli_flag(cli, "replace") && cli_file_exists(path)) {
        return KV_REFUSE(err, KV_E_PIN_EXISTS, "%.100s is there already; nothing was changed",
                         path);
    }
    if (old == NULL) {
        return KV_REFUSE(err, KV_E_NO_MEMORY, "no memory for the sealed PIN that is there");
    }
    kv_buf_init(&spki, PEM_MAX);
    bool had = slot_sealed(slot, old, &why) == KV_OK;
    bool as_before = had && old->pcrs[0] != '\0' && pcrs == NULL;
    enum kv_code code = as_before           ? former_authority(old, &spki, err)
                        : authority == NULL ? KV_OK
                                            : read_authority(authority, &spki, err);
    if (code == KV_OK) {
        code = slot_pin(cli, slot, "pin", "User PIN of the token", SLOT_ASKED_TWICE, &pin, err);
    }
    if (code == KV_OK) {
        code = kv_tpm_pin_seal(&slot->pin_tpm, slot->name, as_before ? old->pcrs : pcrs,
                               kv_buf_bytes(&spki), pin, out, err);
    }
    kv_buf_clear(&spki);
    if (code == KV_OK && had) {
        keep_approvals(old, out);
    }
    return code == KV_OK ? kv_tpm_pin_write(path, out, cli_flag(cli, "replace"), err) : code;
}

static enum kv_code run_seal(struct cli *cli, struct kv_err *err)
{
    struct slot slot;
    struct kv_tpm_pin sealed;
    const char *name = cli_operand(cli, 0);
    if (slot_find(cli, name, &slot, err) != KV_OK || slot_check_sealed(&slot, err) != KV_OK ||
        seal(cli, &slot, &sealed, err) != KV_OK) {
        return err->code;
    }
    const char *path = strchr(slot.pin_source, '/');
    if (cli->json) {
        json_t *object = json_pack("{s:s,s:s,s:s,s:I}", "slot", name, "file", path, "pcrs",
                                   sealed.pcrs, "approvals", (json_int_t)sealed.approval_count);
        cli_put_json(object);
        json_decref(object);
    } else if (sealed.pcrs[0] == '\0') {
        cli_say("The PIN of slot %s is sealed to this TPM, in %s.\n"
                "next: restart the agent, or `ksefvault slot unlock %s`; keep the PIN itself apart "
                "from this machine\n",
                name, path, name);
    } else {
        cli_say("The PIN of slot %s is sealed to this TPM and its PCRs %s, in %s; approved states: "
                "%zu.\n"
                "next: `ksefvault slot approve-pcrs %s --out %s.pcrs`, for the state that the "
                "machine is in; keep the PIN itself\napart from this machine\n",
                name, sealed.pcrs, path, sealed.approval_count, name, name);
    }
    return KV_OK;
}

/* ---- approve-pcrs ---- */

static enum kv_code write_state(struct cli *cli, const struct slot *slot,
                                const struct kv_tpm_pin *sealed, struct kv_err *err)
{
    const char *out = cli_get(cli, "out"), *hex = cli_get(cli, "pcr-digest");
    uint8_t message[KV_TPM_MESSAGE_LEN];
    struct kv_hash values;
    if (hex != NULL && !kv_hash_from_hex(kv_bytes_str(hex), &values)) {
        return KV_REFUSE(err, KV_E_USAGE, "--pcr-digest is 64 hex digits");
    }
    if (kv_tpm_pin_message(&slot->pin_tpm, sealed, hex == NULL ? NULL : &values, message, err) !=
            KV_OK ||
        cli_file_write(out, kv_bytes(message, sizeof message), err) != KV_OK) {
        return err->code;
    }
    if (cli->json) {
        json_t *object =
            json_pack("{s:s,s:s,s:s}", "slot", slot->name, "pcrs", sealed->pcrs, "file", out);
        cli_put_json(object);
        json_decref(object);
        return KV_OK;
    }
    cli_say("The state of the PCRs %s, for slot %s, is in %s.\n"
            "next: where the authority's key is, if the state is as it should be:\n"
            "    openssl dgst -sha256 -sign authority.pem -out %s" SUFFIX " %s\n"
            "then here: `ksefvault slot approve-pcrs %s --signed %s`\n",
            sealed->pcrs, slot->name, out, out, out, slot->name, out);
    return KV_OK;
}

static enum kv_code take_signed(struct cli *cli, const struct slot *slot, struct kv_tpm_pin *sealed,
                                struct kv_err *err)
{
    const char *file = cli_get(cli, "signed");
    KV_CLEANUP(kv_freep) char *signature = cli_path_add(file, SUFFIX);
    struct kv_buf message, sig;
    kv_buf_init(&message, KV_TPM_MESSAGE_LEN);
    kv_buf_init(&sig, SIGNATURE_MAX);
    enum kv_code code = cli_file_read(file, &message, err);
    if (code == KV_OK) {
        code = cli_file_read(signature, &sig, err);
    }
    if (code == KV_OK) {
        code = kv_tpm_pin_approve(sealed, kv_buf_bytes(&message), kv_buf_bytes(&sig), err);
    }
    kv_buf_clear(&message);
    kv_buf_clear(&sig);
    if (code == KV_OK) {
        code = kv_tpm_pin_write(strchr(slot->pin_source, '/'), sealed, true, err);
    }
    if (code != KV_OK) {
        return code;
    }
    if (cli->json) {
        json_t *object = json_pack("{s:s,s:I}", "slot", slot->name, "approvals",
                                   (json_int_t)sealed->approval_count);
        cli_put_json(object);
        json_decref(object);
        return KV_OK;
    }
    cli_say("Slot %s opens in this state of the PCRs, too; approved states: %zu of %d.\n"
            "next: `ksefvault slot unlock %s`, if the slot waits for it\n",
            slot->name, sealed->approval_count, KV_TPM_APPROVALS_MAX, slot->name);
    return KV_OK;
}

static enum kv_code run_approve(struct cli *cli, struct kv_err *err)
{
    struct slot slot;
    struct kv_tpm_pin sealed;
    bool writes = cli_get(cli, "out") != NULL;
    if (writes == (cli_get(cli, "signed") != NULL) ||
        (!writes && cli_get(cli, "pcr-digest") != NULL)) {
        return KV_REFUSE(err, KV_E_USAGE,
                         "give --out (what is to be signed) or --signed (what was)");
    }
    if (slot_find(cli, cli_operand(cli, 0), &slot, err) != KV_OK ||
        slot_sealed(&slot, &sealed, err) != KV_OK) {
        return err->code;
    }
    return writes ? write_state(cli, &slot, &sealed, err) : take_signed(cli, &slot, &sealed, err);
}

/* ---- unlock ---- */

/* Through a pipe that only root has, from here to the keeper: neither gate nor vault nor a disk
 * sees the PIN. It stays open until the agent has taken its end. */
static enum kv_code hold_out(const char *path, const struct kv_secret *pin, int *fd,
                             struct kv_err *err)
{
    struct kv_bytes bytes = kv_secret_bytes(pin);
    if ((unlink(path) != 0 && errno != ENOENT) || mkfifo(path, 0600) != 0) {
        return KV_FAIL(err, KV_E_IO, KV_ERRNO, "cannot make the pipe %.120s", path);
    }
    *fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW); /* both ends: nobody has to be there yet */
    /* a pipe takes 4096 bytes at once, and a PIN has 255 at most */
    if (*fd < 0 || write(*fd, bytes.ptr, bytes.len) != (ssize_t)bytes.len) {
        enum kv_code code = KV_FAIL(err, KV_E_IO, KV_ERRNO, "cannot write to %.120s", path);
        kv_close_fdp(fd);
        (void)unlink(path); /* of no use to anybody */
        return code;
    }
    return KV_OK;
}

static enum kv_code ask_unlock(struct cli *cli, struct kv_err *err)
{
    struct kv_api_answer answer;
    json_t *args = json_pack("{s:s}", "name", cli_operand(cli, 0));
    if (cli_call(cli, KV_CALL_SLOT_UNLOCK, args, &answer, err) != KV_OK) {
        return err->code;
    }
    if (cli->json) {
        cli_put_json(answer.body);
    } else {
        cli_put_member("next", answer.body, "next");
    }
    kv_api_answer_clear(&answer);
    return KV_OK;
}

static enum kv_code run_unlock(struct cli *cli, struct kv_err *err)
{
    struct slot slot;
    char path[SLOT_PATH_MAX];
    int fd = -1;
    KV_CLEANUP(kv_secret_freep) struct kv_secret *pin = NULL;
    if (!cli_flag(cli, "prompt") && cli_get(cli, "pin-fd") == NULL &&
        cli_get(cli, "pin-credential") == NULL) {
        return ask_unlock(cli, err);
    }
    if (slot_find(cli, cli_operand(cli, 0), &slot, err) != KV_OK) {
        return err->code;
    }
    if (strcmp(slot.pin_source, KV_CONFIG_PIN_PROTECTED) == 0) {
        return KV_REFUSE(err, KV_E_USAGE, "the PIN of slot %s is entered at the device", slot.name);
    }
    if (!kv_config_prompt_path(cli->config, slot.name, path, sizeof path)) {
        return KV_REFUSE(err, KV_E_CONFIG, "socket: the path is too long");
    }
    if (slot_pin(cli, &slot, "pin", "User PIN of the token", SLOT_ASKED, &pin, err) != KV_OK ||
        hold_out(path, pin, &fd, err) != KV_OK) {
        return err->code;
    }
    enum kv_code code = ask_unlock(cli, err);
    (void)unlink(path); /* nobody else is to find it */
    kv_close_fdp(&fd);
    return code;
}

/* ---- change-pin ---- */

struct change {
    const struct slot *slot;
    const struct kv_secret *pin, *fresh;
};

static enum kv_code change_work(const void *arg, const struct kv_child_out *out, struct kv_err *err)
{
    const struct change *change = arg;
    (void)out; /* no rows */
    return change->slot->tpm.tcti != NULL
               ? kv_tpm_change_pin(&change->slot->tpm, change->pin, change->fresh, err)
               : kv_pkcs11_change_pin(&change->slot->profile, change->pin, change->fresh, err);
}

static enum kv_code run_change(struct cli *cli, struct kv_err *err)
{
    struct slot slot;
    const char *name = cli_operand(cli, 0);
    KV_CLEANUP(kv_secret_freep) struct kv_secret *pin = NULL;
    KV_CLEANUP(kv_secret_freep) struct kv_secret *fresh = NULL;
    if (slot_find(cli, name, &slot, err) != KV_OK) {
        return err->code;
    }
    if (strcmp(slot.pin_source, KV_CONFIG_PIN_PROTECTED) == 0) {
        return KV_REFUSE(err, KV_E_USAGE,
                         "the PIN of slot %s is entered at the device: change it there", name);
    }
    if (slot_pin(cli, &slot, "pin", "User PIN of the token", SLOT_CONFIGURED, &pin, err) != KV_OK ||
        slot_pin(cli, &slot, "new-pin", "New user PIN", SLOT_ASKED_TWICE, &fresh, err) != KV_OK) {
        return err->code;
    }
    struct change change = {&slot, pin, fresh};
    struct kv_child_job job = {.account = &slot.account,
                               .timeout_ms = CHANGE_TIMEOUT_MS,
                               .work = change_work,
                               .arg = &change,
                               .secrets = {pin, fresh}};
    if (kv_child_run(&job, err) != KV_OK) {
        return err->code;
    }
    if (cli->json) {
        json_t *object = json_pack("{s:s}", "slot", name);
        cli_put_json(object);
        json_decref(object);
    } else if (slot.pin_tpm.tcti != NULL) {
        cli_say(
            "The PIN of slot %s is changed.\nnext, before the agent is started: `ksefvault slot "
            "seal-pin %s --replace`\n",
            name, name);
    } else {
        cli_say(
            "The PIN of slot %s is changed.\nnext, before the agent is started: bring it to where "
            "the PIN comes from (%s)\n",
            name, slot.pin_source);
    }
    return KV_OK;
}

const struct cli_verb cmd_pin[] = {
    {.noun = "slot",
     .verb = "change-pin",
     .run = run_change,
     .operands = "NAME",
     .operands_min = 1,
     .operands_max = 1,
     .options = change_options,
     .summary = "Give a slot's token another PIN; its keys stay. While the agent is stopped.",
     .more =
         "The agent would try the former PIN, once: bring the new one to its source before it is "
         "started.",
     .examples = "  ksefvault slot change-pin main\n"
                 "  ksefvault slot change-pin main --new-pin-fd 8 8<new\n"},
    {.noun = "slot",
     .verb = "seal-pin",
     .run = run_seal,
     .operands = "NAME",
     .operands_min = 1,
     .operands_max = 1,
     .options = seal_options,
     .summary = "Seal a slot's PIN to this machine's TPM, so that the agent starts unattended.",
     .more =
         "The configuration says where: pin: sealed:/PATH and, beside a PKCS#11 module, pin-tpm: "
         "device:/dev/tpmrm0.\nWith --pcr it opens only in states of the PCRs that an authority "
         "has signed (`slot approve-pcrs`); its\nprivate key belongs on another machine. To let "
         "PCRs go, "
         "remove the file before. It protects a disk\nthat is carried off, not against root.",
     .examples = "  ksefvault slot seal-pin main\n"
                 "  ksefvault slot seal-pin main --pcr sha256:0,2,7 --authority authority.pub\n"},
    {.noun = "slot",
     .verb = "approve-pcrs",
     .run = run_approve,
     .operands = "NAME",
     .operands_min = 1,
     .operands_max = 1,
     .options = approve_options,
     .summary = "Let a sealed PIN open in another state of the PCRs, as after an update.",
     .more =
         "Two steps: --out writes the state for the authority, --signed takes its signature over. "
         "The last 8\napproved states are kept; one that was signed cannot be withdrawn.",
     .examples = "  ksefvault slot approve-pcrs main --out main.pcrs\n"
                 "  openssl dgst -sha256 -sign authority.pem -out main.pcrs.sig main.pcrs\n"
                 "  ksefvault slot approve-pcrs main --signed main.pcrs\n"},
    {.noun = "slot",
     .verb = "unlock",
     .run = run_unlock,
     .operands = "NAME",
     .operands_min = 1,
     .operands_max = 1,
     .options = unlock_options,
     .summary = "Have the agent try a slot's PIN once more, after its source was corrected (root).",
     .more = "With --prompt the PIN is entered here, once, whatever its source is.",
     .examples = "  ksefvault slot unlock main\n"
                 "  ksefvault slot unlock main --prompt\n"},
    {.noun = NULL},
};
