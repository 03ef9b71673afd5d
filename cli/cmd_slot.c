/* slot: the places in hardware that keep keys; what concerns their PINs alone is in cmd_pin.c.
 * Administration is for slots that the agent does not
 * use at that moment; PINs come from a terminal, a descriptor or systemd, never from the command
 * line or the environment. */
#include "cli/cmd.h"

#include "cli/out.h"
#include "cli/slot.h"
#include "pkcs11/child.h"
#include "tpm/persistent.h"

#define LIST_TIMEOUT_MS 30000
#define TPM_TIMEOUT_MS  60000
#define LABEL_LEN       33 /* of a token, with NUL */

static const struct cli_option list_options[] = {
    {"module", "PATH", CLI_MANY, "also the slots of this PKCS#11 module"},
    {NULL, NULL, CLI_OPTIONAL, NULL},
};
static const struct cli_option init_options[] = {
    {"label", "TEXT", CLI_REQUIRED, "name of the token, as in the slot's uri: pkcs11:token=TEXT"},
    {"so-pin-fd", "N", CLI_OPTIONAL,
     "read the security officer's PIN from this descriptor (a TPM has none)"},
    {"so-pin-credential", "NAME", CLI_OPTIONAL, "... from this systemd credential"},
    {"pin-fd", "N", CLI_OPTIONAL, "read the user PIN from this descriptor"},
    {"pin-credential", "NAME", CLI_OPTIONAL, "... from this systemd credential"},
    {NULL, NULL, CLI_OPTIONAL, NULL},
};
static const struct cli_option check_options[] = {
    {"pin-fd", "N", CLI_OPTIONAL,
     "read the PIN from this descriptor (default, as root: the "
     "configured source; else a question)"},
    {"pin-credential", "NAME", CLI_OPTIONAL, "... from this systemd credential"},
    {NULL, NULL, CLI_OPTIONAL, NULL},
};

static void on_slot(const struct kv_slot_info *slot, void *rows)
{
    json_t *row =
        json_pack("{s:I,s:b,s:b,s:b}", "id", (json_int_t)slot->id, "present", slot->present,
                  "initialised", slot->initialised, "userPin", slot->user_pin_set);
    const struct {
        const char *key, *value;
    } texts[] = {{"label", slot->label},
                 {"manufacturer", slot->manufacturer},
                 {"model", slot->model},
                 {"serial", slot->serial},
                 {"uri", slot->uri}};
    for (size_t i = 0; i < KV_COUNT(texts); i++) {
        if (texts[i].value[0] != '\0') {
            json_object_set_new(row, texts[i].key, json_string(texts[i].value));
        }
    }
    json_array_append_new(rows, row);
}

static void name_module(json_t *rows, size_t from, const char *module)
{
    for (size_t i = from; i < json_array_size(rows); i++) {
        json_object_set_new(json_array_get(rows, i), "module", json_string(module));
    }
}

/* Modules that several slots share are asked once. */
static bool asked_before(const struct kv_config *config, unsigned i)
{
    const char *module = config->slots[i].module;
    for (unsigned k = 0; module != NULL && k < i; k++) {
        if (config->slots[k].module != NULL && strcmp(config->slots[k].module, module) == 0) {
            return true;
        }
    }
    return false;
}

static void on_kept(const struct kv_tpm_kept *kept, void *out)
{
    struct kv_buf row;
    kv_buf_init(&row, KV_CHILD_OUTPUT_MAX);
    kv_buf_add_u32(&row, kept->handle);
    kv_child_add_text(&row, kept->key);
    kv_child_add_text(&row, kept->use);
    kv_child_row(out, &row);
    kv_buf_clear(&row);
}

static bool kept_row(struct kv_cursor *row, void *list)
{
    struct kv_tpm_kept kept = {.handle = kv_cursor_u32(row)};
    if (!kv_child_take_text(row, kept.key, sizeof kept.key) ||
        !kv_child_take_text(row, kept.use, sizeof kept.use) || !kv_cursor_done(row)) {
        return false;
    }
    json_array_append_new(list,
                          json_pack("{s:o,s:s,s:s}", "handle", json_sprintf("0x%08x", kept.handle),
                                    "key", kept.key, "use", kept.use));
    return true;
}

static enum kv_code ask_tpm_work(const void *arg, const struct kv_child_out *out,
                                 struct kv_err *err)
{
    const struct slot *slot = arg;
    return kv_tpm_persistent(&slot->tpm, on_kept, (void *)(uintptr_t)out, err);
}

/* What stays in the TPM for good, which is never ours; `chip` says why it was not asked. */
static void ask_tpm(const struct slot *slot, json_t *row)
{
    json_t *kept = json_array();
    struct kv_err err = {.msg = ""};
    struct kv_child_job job = {.account = &slot->account,
                               .timeout_ms = LIST_TIMEOUT_MS,
                               .work = ask_tpm_work,
                               .arg = slot,
                               .row = kept_row,
                               .row_arg = kept};
    if (kv_child_run(&job, &err) == KV_OK) {
        json_object_set(row, "persistent", kept);
    } else {
        json_object_set_new(row, "notAsked",
                            json_sprintf("%s: %s", kv_code_word(err.code), err.msg));
    }
    json_decref(kept);
}

/* A TPM's keys lie in a folder, which says whose they are. */
static enum kv_code list_tpm(const struct kv_config_slot *from, const struct slot *slot,
                             json_t *rows, struct kv_err *err)
{
    struct kv_token_info info = {.label = ""};
    enum kv_code code = kv_tpm_read_info(slot->tpm.folder, &info, err);
    if (code != KV_OK && code != KV_E_TOKEN_ABSENT) {
        return code;
    }
    json_t *row = json_pack("{s:s,s:b,s:b,s:s}", "slot", from->name, "initialised", code == KV_OK,
                            "userPin", code == KV_OK, "uri", from->tpm);
    if (code == KV_OK) {
        json_object_set_new(row, "label", json_string(info.label));
        json_object_set_new(row, "manufacturer", json_string(info.manufacturer));
        json_object_set_new(row, "model", json_string(info.model));
        json_object_set_new(row, "serial", json_string(info.serial));
    }
    ask_tpm(slot, row);
    json_array_append_new(rows, row);
    return KV_OK;
}

/* What one place of the configuration has. */
static enum kv_code list_slot(const struct kv_config *config, const struct kv_config_slot *from,
                              json_t *rows, struct kv_err *err)
{
    struct slot slot;
    size_t first = json_array_size(rows);
    enum kv_code code = slot_take(config, from, &slot, err);
    if (code == KV_OK && from->tpm != NULL) {
        return list_tpm(from, &slot, rows, err);
    }
    if (code == KV_OK) {
        code = kv_slot_list(slot.profile.module, slot.profile.init_args, &slot.account,
                            LIST_TIMEOUT_MS, on_slot, rows, err);
        name_module(rows, first, from->module);
    }
    return code;
}

/* All that can be looked at is listed; the first that cannot decides what is returned. */
static enum kv_code list_slots(const struct kv_config *config, json_t *rows, struct kv_err *err)
{
    enum kv_code code = KV_OK;
    for (unsigned i = 0; i < config->slots_count; i++) {
        struct kv_err why;
        if (!asked_before(config, i) && list_slot(config, &config->slots[i], rows, &why) != KV_OK &&
            code == KV_OK) {
            *err = why;
            code = kv_wrap(err, "slot %s", config->slots[i].name);
        }
    }
    return code;
}

static enum kv_code list_modules(struct cli *cli, json_t *rows, struct kv_err *err)
{
    const struct kv_config *config = NULL;
    const char *module;
    bool named = cli_get(cli, "module") != NULL;
    if (cli_config(cli, &config, err) != KV_OK && (!named || cli->config_path != NULL)) {
        return err->code; /* with --module a machine without configuration can be looked at */
    }
    enum kv_code code = config == NULL ? KV_OK : list_slots(config, rows, err);
    for (size_t i = 0; (module = cli_get_n(cli, "module", i)) != NULL; i++) {
        struct kv_slot_account account = {.uid = getuid(), .gid = getgid()};
        size_t from = json_array_size(rows);
        struct kv_err why;
        if (kv_slot_list(module, NULL, &account, LIST_TIMEOUT_MS, on_slot, rows, &why) != KV_OK &&
            code == KV_OK) {
            *err = why;
            code = kv_wrap(err, "%.80s", module);
        }
        name_module(rows, from, module);
    }
    return code;
}

/* What the TPMs keep, below the table of slots. */
static void put_kept(const json_t *slots)
{
    static const struct cli_column columns[] = {
        {"HANDLE", "handle"}, {"KEY", "key"}, {"WHAT", "use"}, {NULL, NULL}};
    size_t i;
    const json_t *slot;
    json_array_foreach(slots, i, slot)
    {
        const json_t *kept = json_object_get(slot, "persistent");
        if (kept != NULL) {
            cli_say("\nWhat stays in the TPM of slot %s; ksefvault puts nothing there and takes "
                    "nothing away:\n",
                    cli_str(slot, "slot"));
            cli_put_table(kept, columns, "nothing");
        } else if (json_object_get(slot, "notAsked") != NULL) {
            cli_say("\nThe TPM of slot %s was not asked what stays in it: %s\n",
                    cli_str(slot, "slot"), cli_str(slot, "notAsked"));
        }
    }
}

/* A token by the module's number, a TPM's slot by its name: several may lie in one TPM. */
static void put_slots(const json_t *rows)
{
    static const struct cli_column columns[] = {
        {"SLOT", "id"},       {"TOKEN", "label"}, {"MODEL", "model"}, {"SERIAL", "serial"},
        {"READY", "userPin"}, {"URI", "uri"},     {NULL, NULL}};
    size_t i;
    json_t *row;
    json_array_foreach(rows, i, row)
    {
        if (json_object_get(row, "slot") != NULL) {
            json_object_set(row, "id", json_object_get(row, "slot"));
        }
    }
    cli_put_table(rows, columns, "There are no slots.");
    put_kept(rows);
}

static enum kv_code run_list(struct cli *cli, struct kv_err *err)
{
    json_t *rows = json_array();
    enum kv_code code = list_modules(cli, rows, err);
    bool nothing = code != KV_OK && json_array_size(rows) == 0;
    if (!nothing && cli->json) {
        json_t *object = json_pack("{s:O}", "slots", rows);
        cli_put_json(object);
        json_decref(object);
    } else if (!nothing) {
        put_slots(rows);
    }
    json_decref(rows);
    return code;
}

struct tpm_init {
    const struct slot *slot;
    const char *label;
    const struct kv_secret *pin;
};

static enum kv_code init_tpm_work(const void *arg, const struct kv_child_out *out,
                                  struct kv_err *err)
{
    const struct tpm_init *init = arg;
    (void)out;
    return kv_tpm_init(&init->slot->tpm, init->label, init->pin, err);
}

/* In a child under the keeper's account, as a PKCS#11 module: the files are the keeper's. */
static enum kv_code init_tpm(const struct slot *slot, const char *label,
                             const struct kv_secret *pin, struct kv_err *err)
{
    struct tpm_init init = {slot, label, pin};
    struct kv_child_job job = {.account = &slot->account,
                               .timeout_ms = TPM_TIMEOUT_MS,
                               .work = init_tpm_work,
                               .arg = &init,
                               .secrets = {pin}};
    return kv_child_run(&job, err);
}

static enum kv_code open_tpm(const void *arg, const struct kv_secret *pin, struct kv_token **out,
                             struct kv_err *err)
{
    const struct slot *slot = arg;
    return pin != NULL ? kv_tpm_open(&slot->tpm, pin, out, err)
                       : KV_REFUSE(err, KV_E_TOKEN_NO_PIN, "the slot of a TPM has a PIN");
}

/* The attribute `token` of a PKCS#11 URI (RFC 7512), decoded; false if it has none. One that is
 * malformed or too long for a label is left empty: it names no token that could be made. */
static bool token_of_uri(const char *uri, char out[static LABEL_LEN])
{
    const char *at = uri + strlen("pkcs11:"); /* the configuration has checked it */
    size_t len = 0;
    while (strncmp(at, "token=", 6) != 0) {
        at += strcspn(at, ";?");
        if (*at != ';') {
            return false;
        }
        at++;
    }
    for (at += 6; strchr(";?", *at) == NULL; at++) {
        uint8_t byte = (uint8_t)*at;
        size_t one = 0;
        bool good = *at != '%' ||
                    (strnlen(at, 3) == 3 && kv_hex_decode(kv_bytes(at + 1, 2), &byte, 1, &one));
        if (!good || len + 1 == LABEL_LEN) {
            len = 0;
            break;
        }
        at += *at == '%' ? 2 : 0;
        out[len++] = (char)byte;
    }
    out[len] = '\0';
    return true;
}

/* The slot would not find a token of another name, and nobody could initialise this one again. */
static enum kv_code check_label(const struct slot *slot, const char *label, struct kv_err *err)
{
    char token[LABEL_LEN];
    return !token_of_uri(slot->profile.uri, token) || strcmp(token, label) == 0
               ? KV_OK
               : KV_REFUSE(err, KV_E_USAGE,
                           "--label '%.32s' is not the token that the slot's uri names: '%s'; "
                           "nothing was changed",
                           label, token);
}

static enum kv_code run_init(struct cli *cli, struct kv_err *err)
{
    struct slot slot;
    KV_CLEANUP(kv_secret_freep) struct kv_secret *so_pin = NULL;
    KV_CLEANUP(kv_secret_freep) struct kv_secret *pin = NULL;
    const char *label = cli_get(cli, "label");
    const char *name = cli_operand(cli, 0);
    if (slot_find(cli, name, &slot, err) != KV_OK) {
        return err->code;
    }
    bool tpm = slot.tpm.tcti != NULL;
    if (tpm && (cli_get(cli, "so-pin-fd") != NULL || cli_get(cli, "so-pin-credential") != NULL)) {
        return KV_REFUSE(err, KV_E_USAGE, "slot %s is a TPM's: it has no security officer", name);
    }
    if (!tpm && check_label(&slot, label, err) != KV_OK) {
        return err->code;
    }
    if ((!tpm && slot_pin(cli, &slot, "so-pin", "Security officer's PIN of the new token",
                          SLOT_ASKED_TWICE, &so_pin, err) != KV_OK) ||
        slot_pin(cli, &slot, "pin", "User PIN of the new token", SLOT_ASKED_TWICE, &pin, err) !=
            KV_OK) {
        return err->code;
    }
    enum kv_code code = tpm ? init_tpm(&slot, label, pin, err)
                            : kv_slot_init(&slot.profile, &slot.account, label, so_pin, pin, err);
    if (code != KV_OK) {
        return code;
    }
    if (cli->json) {
        json_t *object = json_pack("{s:s,s:s}", "slot", name, "label", label);
        cli_put_json(object);
        json_decref(object);
        return KV_OK;
    }
    cli_say("The token '%s' is initialised. Keep %s.\n"
            "next: `ksefvault slot check %s` tries everything that is needed\n",
            label,
            tpm ? "a copy of its PIN apart from this machine; the keys open only in this TPM"
                : "the security officer's PIN apart from this machine",
            name);
    return KV_OK;
}

static void on_row(const struct kv_slot_row *row, void *rows)
{
    json_array_append_new(
        rows, json_pack("{s:s,s:b,s:s}", "what", row->what, "ok", row->ok, "detail", row->detail));
}

/* The detail of a row, or "". */
static const char *detail_of(const json_t *rows, const char *what)
{
    size_t i;
    const json_t *row;
    json_array_foreach(rows, i, row)
    {
        if (strcmp(json_string_value(json_object_get(row, "what")), what) == 0) {
            return json_string_value(json_object_get(row, "detail"));
        }
    }
    return "";
}

/* What the configuration should say, so that no other token and no other module is ever taken for
 * these. */
static void put_pins(const json_t *rows)
{
    cli_say(
        "\nThe partition can be used. So that no other token and no other module are ever taken "
        "for these,\nlet the slot's configuration say:\n\n    uri: \"%s\"\n    module-sha256: "
        "%s\n\nnext: restart the agent; `ksefvault status`\n",
        detail_of(rows, "uri"), detail_of(rows, "module"));
}

/* check and adopt: a partition that somebody else made needs no more than to be tried. */
static enum kv_code run_check(struct cli *cli, struct kv_err *err)
{
    static const struct cli_column columns[] = {
        {"CHECK", "what"}, {"GOOD", "ok"}, {"DETAIL", "detail"}, {NULL, NULL}};
    struct slot slot;
    KV_CLEANUP(kv_secret_freep) struct kv_secret *pin = NULL;
    if (slot_find(cli, cli_operand(cli, 0), &slot, err) != KV_OK ||
        slot_pin(cli, &slot, "pin", "User PIN", SLOT_CONFIGURED, &pin, err) != KV_OK) {
        return err->code;
    }
    json_t *rows = json_array();
    if (cli->terminal) {
        fputs("trying the slot; some tokens take a while\n", stderr);
    }
    struct kv_slot_opener opener = {.profile = &slot.profile};
    if (slot.tpm.tcti != NULL) {
        opener = (struct kv_slot_opener){.open = open_tpm, .arg = &slot};
    }
    enum kv_code code = kv_slot_check(&opener, &slot.account, pin, on_row, rows, err);
    if (cli->json) {
        json_t *object = json_pack("{s:b,s:O}", "ok", code == KV_OK, "checks", rows);
        cli_put_json(object);
        cli->answered = true;
        json_decref(object);
    } else if (json_array_size(rows) > 0) {
        cli_put_table(rows, columns, "");
    }
    if (code == KV_OK && !cli->json && strcmp(cli->verb->verb, "adopt") == 0) {
        put_pins(rows);
    }
    json_decref(rows);
    return code;
}

static enum kv_code run_adopt(struct cli *cli, struct kv_err *err)
{
    struct slot slot;
    const char *name = cli_operand(cli, 0);
    if (slot_find(cli, name, &slot, err) != KV_OK) {
        return err->code;
    }
    return slot.tpm.tcti == NULL
               ? run_check(cli, err)
               : KV_REFUSE(err, KV_E_USAGE,
                           "slot %s is a TPM's: nothing in it can be taken over; `ksefvault slot "
                           "init %s` makes it, `slot check` tries it",
                           name, name);
}

const struct cli_verb cmd_slot[] = {
    {.noun = "slot",
     .verb = "list",
     .run = run_list,
     .options = list_options,
     .summary = "The slots of the configured modules and TPMs, and what stays in the TPMs.",
     .examples = "  ksefvault slot list\n"
                 "  ksefvault slot list --module /usr/lib/softhsm/libsofthsm2.so\n"},
    {.noun = "slot",
     .verb = "init",
     .run = run_init,
     .operands = "NAME",
     .operands_min = 1,
     .operands_max = 1,
     .options = init_options,
     .summary = "Initialise an empty token for a configured slot.",
     .more = "PINs are asked for on the terminal, or read from descriptors. The label is "
             "the token of the slot's uri. A token that is initialised is never\nchanged.",
     .examples =
         "  ksefvault slot init main --label ksefvault\n"
         "  ksefvault slot init main --label ksefvault --so-pin-fd 8 --pin-fd 9 8<so 9<pin\n"},
    {.noun = "slot",
     .verb = "check",
     .run = run_check,
     .operands = "NAME",
     .operands_min = 1,
     .operands_max = 1,
     .options = check_options,
     .summary = "Log in and try everything that the agent will need; leaves nothing behind.",
     .examples = "  ksefvault slot check main\n"},
    {.noun = "slot",
     .verb = "adopt",
     .run = run_adopt,
     .operands = "NAME",
     .operands_min = 1,
     .operands_max = 1,
     .options = check_options,
     .summary = "Take over a partition that a vendor's tool made; what lies in it stays.",
     .more =
         "The partition needs its user PIN and no security officer's. The slot must be in the "
         "configuration;\neverything that the agent will need is tried, as by `slot check`, and "
         "the lines that pin the\npartition and the module are printed. With `pin: protected` "
         "the PIN is entered at the device.\nA TPM has no partitions: `slot init` makes its slot, "
         "whatever else it keeps.",
     .examples = "  ksefvault slot adopt hsm\n"
                 "  ksefvault slot adopt hsm --pin-fd 9 9<pin\n"},
    {.noun = NULL},
};
