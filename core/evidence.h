/* What a TPM says of a key, for those who were not there: that the key was made in this TPM and
 * cannot leave it. The attestation key of the TPM signs that (TPM2_Certify), over the key's public
 * area, and bound to the one credential that the key is for. Text, so that people with other tools
 * can take it apart (docs/ledger-format.md §4):
 *
 *   ksefvault-evidence-1
 *   attested <base64 of TPMS_ATTEST>
 *   signature <base64 of the DER of the ECDSA signature over it>
 *   key <base64 of the key's TPM2B_PUBLIC>
 *   attestation-key <base64 of its TPM2B_PUBLIC>
 *   certificate <base64 of DER>            0 to 8: the endorsement key's, then its issuers
 *
 * Without a certificate nothing says whose TPM it is. Read without a TPM library: who checks a
 * ledger has none. Structures: TPM 2.0 Library, part 2. */
#ifndef KV_CORE_EVIDENCE_H
#define KV_CORE_EVIDENCE_H

#include "core/buf.h"
#include "core/err.h"
#include "core/hash.h"

#define KV_EVIDENCE_MAX              49152 /* bytes of the text: below those of a frame and a blob */
#define KV_EVIDENCE_CERTIFICATES_MAX 8
#define KV_EVIDENCE_CERTIFICATE_MAX  4096 /* bytes of DER; of vendors they have 900 to 1500 */

/* Whose key it is; part of what the TPM signs, so that evidence is good for one credential. The
 * ledger's own key has the two words below in place of request and credential. */
struct kv_evidence_subject {
    const char *vault, *request, *credential;
};
#define KV_EVIDENCE_LOG_REQUEST "log.init"
#define KV_EVIDENCE_LOG_NAME    "log"

/* The parts, in the form that the text has them in. */
struct kv_evidence {
    struct kv_bytes attested, signature, key, signer;
    struct kv_bytes certificate[KV_EVIDENCE_CERTIFICATES_MAX];
    size_t certificate_count;
    uint8_t *store; /* owned; what the parts of a parsed text are borrowed from */
};

/* Exactly what kv_evidence_print writes, else KV_E_LEDGER_EVIDENCE. *out is cleared by the caller.
 */
KV_MUST_USE enum kv_code kv_evidence_parse(struct kv_bytes text, struct kv_evidence *out,
                                           struct kv_err *err);
void kv_evidence_clear(struct kv_evidence *evidence);
void kv_evidence_print(const struct kv_evidence *evidence, struct kv_buf *out);

/* The qualifyingData: H(first line ‖ the subject's three, each with LF ‖ the lines of
 * certificates).
 */
struct kv_hash kv_evidence_binding(const struct kv_evidence *evidence,
                                   const struct kv_evidence_subject *subject);

/* Everything that can be seen without trusting anybody: the key is that of `spki`, made in a TPM
 * that it cannot leave, and only signs; a restricted key of the endorsement hierarchy of the same
 * TPM says so, of this subject. (Restricted: it signs nothing that the TPM did not make itself.
 * That the certificate is of the same TPM, this does not show.) Error: KV_E_LEDGER_EVIDENCE. */
KV_MUST_USE enum kv_code kv_evidence_check(const struct kv_evidence *evidence,
                                           const struct kv_evidence_subject *subject,
                                           struct kv_bytes spki, struct kv_err *err);

#endif
