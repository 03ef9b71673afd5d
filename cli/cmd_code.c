/* code: QR codes of invoices, as the integration whose account this is, and checking anybody's. */
#include "cli/cmd.h"

#include "cli/file.h"
#include "cli/out.h"
#include "cli/picture.h"
#include "core/openssl.h"
#include "core/time.h"
#include "ksef/qr.h"

#include <openssl/pem.h>
#include <signal.h>
#include <stdlib.h>

#define CERTIFICATE_FILE_MAX 65536
#define INVOICE_FILE_MAX     (4 * 1024 * 1024)  /* KSeF takes 3 MB with an attachment */
#define BATCH_MAX            (16 * 1024 * 1024) /* bytes of input, 300,000 invoices */

static const struct cli_option make_options[] = {
    {"invoice", "FILE", CLI_OPTIONAL, "the invoice, byte for byte as it will be sent"},
    {"hash", "BASE64", CLI_OPTIONAL, "or its SHA-256"},
    {"batch", NULL, CLI_OPTIONAL, "or many: a line HASH [DATE] each on standard input"},
    {"seller", "NIP", CLI_REQUIRED, "NIP of the seller on the invoice"},
    {"context", "CONTEXT", CLI_REQUIRED, "KSeF context, Nip:5265877635"},
    {"date", "DATE", CLI_OPTIONAL, "its date of issue (P_1), 2026-02-01: gives KOD I too"},
    {"png", "PREFIX", CLI_OPTIONAL, "write PREFIX-kod2.png, and PREFIX-kod1.png with --date"},
    {"label", "TEXT", CLI_OPTIONAL, "text under KOD I (default: OFFLINE)"},
    {NULL, NULL, CLI_OPTIONAL, NULL},
};

struct line {
    struct kv_hash hash;
    char date[KV_QR_DATE_LEN];
};

struct batch {
    struct line *line;
    size_t count, cap;
};

static void batch_free(struct batch *batch)
{
    free(batch->line);
}

/* ---- what is to be signed ---- */

static enum kv_code read_date(struct kv_bytes date, struct line *out, struct kv_err *err)
{
    int64_t ms;
    if (!kv_date_parse(date, &ms)) {
        return KV_REFUSE(err, KV_E_INPUT_VALUE, "a date is written 2026-02-01");
    }
    memcpy(out->date, date.ptr, date.len);
    out->date[date.len] = '\0';
    return KV_OK;
}

static enum kv_code read_hash(struct kv_bytes hash, struct line *out, struct kv_err *err)
{
    size_t len;
    if (!kv_base64_decode(hash, out->hash.b, sizeof out->hash.b, &len) ||
        len != sizeof out->hash.b) {
        return KV_REFUSE(err, KV_E_INPUT_VALUE,
                         "a hash is the SHA-256 of the invoice file, 44 characters of base64");
    }
    return KV_OK;
}

static struct line *add_line(struct batch *batch)
{
    if (batch->count == batch->cap) {
        batch->cap = batch->cap == 0 ? KV_CODES_MAX : batch->cap * 2;
        batch->line = realloc(batch->line, batch->cap * sizeof *batch->line);
        if (batch->line == NULL) {
            abort();
        }
    }
    batch->line[batch->count] = (struct line){.date = ""};
    return &batch->line[batch->count++];
}

/* HASH, or HASH and DATE with one space or tab between them. */
static enum kv_code read_line(struct kv_bytes text, const char *date, struct batch *batch,
                              struct kv_err *err)
{
    size_t n = 0;
    while (n < text.len && text.ptr[n] != ' ' && text.ptr[n] != '\t') {
        n++;
    }
    struct line *line = add_line(batch);
    enum kv_code code = read_hash(kv_bytes(text.ptr, n), line, err);
    if (code == KV_OK && n < text.len) {
        code = read_date(kv_bytes(text.ptr + n + 1, text.len - n - 1), line, err);
    } else if (code == KV_OK && date != NULL) {
        code = read_date(kv_bytes_str(date), line, err);
    }
    return code;
}

/* All lines are read before the first is signed: a bad one changes nothing. */
static enum kv_code read_batch(const char *date, struct batch *batch, struct kv_err *err)
{
    KV_CLEANUP(kv_buf_clear) struct kv_buf text;
    kv_buf_init(&text, BATCH_MAX);
    if (cli_file_read("-", &text, err) != KV_OK) {
        return err->code;
    }
    size_t number = 0;
    for (size_t from = 0; from < text.len; number++) {
        const uint8_t *end = memchr(text.data + from, '\n', text.len - from);
        size_t len = end == NULL ? text.len - from : (size_t)(end - text.data) - from;
        if (read_line(kv_bytes(text.data + from, len), date, batch, err) != KV_OK) {
            return kv_wrap(err, "line %zu", number + 1);
        }
        from += len + 1;
    }
    return batch->count > 0
               ? KV_OK
               : KV_REFUSE(err, KV_E_INPUT_MISSING, "there is no line on standard input");
}

static enum kv_code read_one(const struct cli *cli, struct batch *batch, struct kv_err *err)
{
    const char *file = cli_get(cli, "invoice"), *hash = cli_get(cli, "hash");
    const char *date = cli_get(cli, "date");
    struct line *line = add_line(batch);
    if (file != NULL) {
        KV_CLEANUP(kv_buf_clear) struct kv_buf bytes;
        kv_buf_init(&bytes, INVOICE_FILE_MAX);
        if (cli_file_read(file, &bytes, err) != KV_OK) {
            return err->code;
        }
        line->hash = kv_hash(kv_buf_bytes(&bytes));
    } else if (read_hash(kv_bytes_str(hash), line, err) != KV_OK) {
        return err->code;
    }
    return date == NULL ? KV_OK : read_date(kv_bytes_str(date), line, err);
}

static enum kv_code read_input(const struct cli *cli, struct batch *batch, struct kv_err *err)
{
    bool many = cli_flag(cli, "batch");
    int ways = (cli_get(cli, "invoice") != NULL) + (cli_get(cli, "hash") != NULL) + many;
    if (ways != 1) {
        return KV_REFUSE(err, KV_E_USAGE, "give one of --invoice, --hash and --batch");
    }
    if (many && cli_get(cli, "png") != NULL) {
        return KV_REFUSE(err, KV_E_USAGE,
                         "--png is for one invoice; draw the links of a batch yourself");
    }
    return many ? read_batch(cli_get(cli, "date"), batch, err) : read_one(cli, batch, err);
}

/* ---- asking the agent ---- */

static json_t *arguments(const struct cli *cli, const struct line *line, size_t count)
{
    json_t *invoices = json_array();
    for (size_t i = 0; i < count; i++) {
        char hash[KV_HASH_BASE64_LEN];
        kv_hash_base64(&line[i].hash, hash);
        json_t *invoice = json_pack("{s:s}", "hash", hash);
        if (line[i].date[0] != '\0') {
            json_object_set_new(invoice, "date", json_string(line[i].date));
        }
        json_array_append_new(invoices, invoice);
    }
    return json_pack("{s:s, s:s, s:o}", "context", cli_get(cli, "context"), "seller",
                     cli_get(cli, "seller"), "invoices", invoices);
}

static void put_lines(const json_t *codes)
{
    size_t i;
    json_t *code;
    json_array_foreach(codes, i, code)
    {
        json_dumpf(code, stdout, JSON_COMPACT);
        putchar('\n');
    }
    (void)fflush(stdout); /* main checks standard output at the end */
}

/* Whether Ctrl-C was pressed: it is held back, so that what was signed is also printed. */
static bool interrupted(void)
{
    sigset_t pending;
    return sigpending(&pending) == 0 && sigismember(&pending, SIGINT) == 1;
}

static void hold_interrupt(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    (void)sigprocmask(SIG_BLOCK, &set, NULL); /* cannot fail with these arguments */
}

/* What was signed before stays signed and is printed; the rest can be handed in again. */
static enum kv_code stopped(struct kv_err *err, size_t done, size_t count)
{
    return kv_wrap(err, "%zu of %zu are signed; go on with line %zu", done, count, done + 1);
}

static enum kv_code run_batch(struct cli *cli, const struct batch *batch, struct kv_err *err)
{
    struct cli_progress progress;
    struct kv_api_answer answer;
    cli_progress_begin(&progress, cli->terminal, "signing codes");
    hold_interrupt();
    for (size_t at = 0; at < batch->count; at += KV_CODES_MAX) {
        size_t n = batch->count - at < KV_CODES_MAX ? batch->count - at : KV_CODES_MAX;
        enum kv_code code = interrupted()
                                ? KV_REFUSE(err, KV_E_INTERRUPTED, "Ctrl-C")
                                : cli_call(cli, KV_CALL_OFFLINE_CODES,
                                           arguments(cli, batch->line + at, n), &answer, err);
        if (code != KV_OK) {
            cli_progress_end(&progress);
            return stopped(err, at, batch->count);
        }
        put_lines(json_object_get(answer.body, "codes"));
        kv_api_answer_clear(&answer);
        cli_progress_at(&progress, at + n);
    }
    cli_progress_end(&progress);
    return KV_OK;
}

static enum kv_code write_picture(const char *prefix, const char *suffix, const char *link,
                                  const char *label, struct kv_err *err)
{
    KV_CLEANUP(kv_buf_clear) struct kv_buf png;
    kv_buf_init(&png, CLI_PICTURE_MAX);
    if (cli_picture(link, label, &png, err) != KV_OK) {
        return err->code;
    }
    char *path = cli_path_add(prefix, suffix);
    enum kv_code code = cli_file_write(path, kv_buf_bytes(&png), err);
    free(path);
    return code;
}

/* Before anything is signed: neither picture is there yet, and the label can be drawn. */
static enum kv_code check_pictures(const struct cli *cli, const char *label, struct kv_err *err)
{
    static const char *const suffixes[] = {"-kod1.png", "-kod2.png"};
    const char *prefix = cli_get(cli, "png");
    for (size_t i = 0; prefix != NULL && i < KV_COUNT(suffixes); i++) {
        char *path = cli_path_add(prefix, suffixes[i]);
        bool there = cli_file_exists(path);
        free(path);
        if (there) {
            return KV_REFUSE(err, KV_E_USAGE, "%.100s%s is there already; it is not replaced",
                             prefix, suffixes[i]);
        }
    }
    KV_CLEANUP(kv_buf_clear) struct kv_buf png;
    kv_buf_init(&png, CLI_PICTURE_MAX);
    return cli_picture("https://qr-test.ksef.mf.gov.pl/", label, &png, err);
}

static enum kv_code run_one(struct cli *cli, const struct batch *batch, struct kv_err *err)
{
    struct kv_api_answer answer;
    const char *label = cli_get(cli, "label"), *prefix = cli_get(cli, "png");
    label = label == NULL ? "OFFLINE" : label;
    if (check_pictures(cli, label, err) != KV_OK ||
        cli_call(cli, KV_CALL_OFFLINE_CODES, arguments(cli, batch->line, 1), &answer, err) !=
            KV_OK) {
        return err->code;
    }
    const json_t *code = json_array_get(json_object_get(answer.body, "codes"), 0);
    if (cli->json) {
        cli_put_json(answer.body);
    } else {
        cli_put_member("invoice", code, "hash");
        cli_put_member("record", code, "record");
        cli_put_member("KOD I", code, "invoiceLink");
        cli_put_member("KOD II", code, "certificateLink");
    }
    enum kv_code result = KV_OK;
    if (prefix != NULL && batch->line[0].date[0] != '\0') {
        result = write_picture(prefix, "-kod1.png", cli_str(code, "invoiceLink"), label, err);
    }
    if (prefix != NULL && result == KV_OK) {
        result =
            write_picture(prefix, "-kod2.png", cli_str(code, "certificateLink"), "CERTYFIKAT", err);
    }
    kv_api_answer_clear(&answer);
    return result;
}

static enum kv_code run_make(struct cli *cli, struct kv_err *err)
{
    KV_CLEANUP(batch_free) struct batch batch = {NULL, 0, 0};
    if (read_input(cli, &batch, err) != KV_OK || cli_agent(cli, err) != KV_OK) {
        return err->code;
    }
    return cli_flag(cli, "batch") ? run_batch(cli, &batch, err) : run_one(cli, &batch, err);
}

/* ---- checking ---- */

static const struct cli_option verify_options[] = {
    {"cert", "FILE", CLI_REQUIRED, "the Offline certificate, DER or PEM"},
    {NULL, NULL, CLI_OPTIONAL, NULL},
};

/* A PEM file becomes DER; DER stays as it is. */
static enum kv_code to_der(struct kv_buf *file, struct kv_buf *der, struct kv_err *err)
{
    uint8_t *data = NULL;
    long len = 0;
    if (file->len > 0 && file->data[0] != '-') {
        kv_buf_add_bytes(der, kv_buf_bytes(file));
    } else {
        KV_CLEANUP(kv_bio_freep) BIO *bio = BIO_new_mem_buf(file->data, (int)file->len);
        if (bio != NULL &&
            PEM_bytes_read_bio(&data, &len, NULL, PEM_STRING_X509, bio, NULL, NULL) == 1) {
            kv_buf_add(der, data, (size_t)len);
        }
        OPENSSL_free(data);
    }
    return der->len > 0 && !der->failed
               ? KV_OK
               : KV_REFUSE(err, KV_E_INPUT_VALUE, "--cert holds no certificate");
}

static void tell(const struct cli *cli, const struct kv_qr *qr)
{
    char hash[KV_HASH_BASE64_LEN];
    kv_hash_base64(&qr->invoice, hash);
    if (cli->json) {
        json_t *out = json_pack("{s:b, s:s, s:s, s:s, s:s, s:s}", "good", 1, "environment",
                                qr->environment, "context", qr->context, "seller", qr->seller,
                                "serial", qr->serial, "hash", hash);
        cli_put_json(out);
        json_decref(out);
        return;
    }
    cli_say("GOOD: seller %s, invoice %s, in context %s, under certificate %s (%s)\n", qr->seller,
            hash, qr->context, qr->serial, qr->environment);
    cli_say("Whether the certificate was revoked, only KSeF knows: open the link.\n");
}

static enum kv_code run_verify(struct cli *cli, struct kv_err *err)
{
    static struct kv_qr qr; /* too much for the stack */
    KV_CLEANUP(kv_buf_clear) struct kv_buf file, der;
    kv_buf_init(&file, CERTIFICATE_FILE_MAX);
    kv_buf_init(&der, KV_CERTIFICATE_MAX);
    if (kv_qr_parse(kv_bytes_str(cli_operand(cli, 0)), &qr, err) != KV_OK ||
        cli_file_read(cli_get(cli, "cert"), &file, err) != KV_OK ||
        to_der(&file, &der, err) != KV_OK) {
        return err->code;
    }
    if (qr.kind == KV_QR_INVOICE) {
        return KV_REFUSE(err, KV_E_CODE_LINK, "this is KOD I, which nobody signs: give KOD II");
    }
    if (kv_qr_verify(&qr, kv_buf_bytes(&der), err) != KV_OK) {
        return err->code;
    }
    tell(cli, &qr);
    return KV_OK;
}

const struct cli_verb cmd_code[] = {
    {.noun = "code",
     .verb = "make",
     .run = run_make,
     .options = make_options,
     .summary = "Make the QR codes of an invoice, or of many, as the integration whose account "
                "this is.",
     .more = "KOD II is signed in the slot under an Offline certificate; the grant must hold "
             "qr.kod2. --batch prints one JSON object a line, in the order of the input, and signs "
             "nothing if any line is bad; after Ctrl-C or an error it says with which line to go "
             "on.",
     .examples =
         "  ksefvault code make --invoice fv-17.xml --seller 5265877635 --date 2026-02-01 \\\n"
         "      --context Nip:5265877635 --png fv-17\n"
         "  ksefvault code make --batch --seller 5265877635 --context Nip:5265877635 "
         "<hashes >codes.jsonl\n"},
    {.noun = "code",
     .verb = "verify",
     .run = run_verify,
     .operands = "LINK",
     .operands_min = 1,
     .operands_max = 1,
     .options = verify_options,
     .summary = "Check the signature of a KOD II, offline, with the issuer's certificate.",
     .examples = "  ksefvault code verify 'https://qr.ksef.mf.gov.pl/certificate/Nip/...' --cert "
                 "offline.pem\n"},
    {.noun = NULL},
};
