/* SSHSIG: no input is a good signature of a text that nobody signed; a key that is read is the one
 * that would be read again. */
#include "policy/sshsig.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct kv_bytes armour = kv_bytes(data, size), text, behind;
    struct kv_pubkey key, again;
    struct kv_err err;
    if (kv_sshsig_split(armour, &text, &behind)) {
        assert(text.len + behind.len == size);
        armour = behind;
    }
    if (kv_sshsig_signer(armour, &key, &err) != KV_OK) {
        return 0;
    }
    enum kv_code code = kv_pubkey_parse_blob(kv_pubkey_blob(&key), &again, &err);
    assert(code == KV_OK);
    assert(strcmp(key.fingerprint, again.fingerprint) == 0);
    code = kv_sshsig_verify(kv_bytes_str("nobody signed this"), armour,
                            kv_bytes_str(key.fingerprint), NULL, &err);
    assert(code == KV_E_SIG_BAD || code == KV_E_SIG_NAMESPACE || code == KV_E_SIG_FORMAT);
    return 0;
}
