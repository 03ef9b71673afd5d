/* The rows of core/code.h. Sorted by the first part of the word, then by meaning. */
#ifndef KV_CORE_CODE_TABLE_H
#define KV_CORE_CODE_TABLE_H

/* clang-format off */
#define KV_CODE_TABLE(X) \
X(INTERNAL, "agent.internal", 500, FAILED, NEVER, "The program met a state that it was not written for.", "Report it with the log lines around it; nothing was given or changed.") \
X(NO_MEMORY, "agent.no-memory", 503, LATER, AFTER, "Memory is exhausted or could not be locked.", "Raise the memory or RLIMIT_MEMLOCK limit of the unit, or, when many KSeF sessions live, end some; then try again.") \
X(IO, "agent.io", 500, FAILED, AFTER, "An operation of the operating system failed.", "Read the cause in the message; correct it and try again.") \
X(UNREACHABLE, "agent.unreachable", 503, UNREACHABLE, AFTER, "The agent does not answer on its socket.", "Start it (systemctl start ksefvault) or name its socket with --socket.") \
X(STARTING, "agent.starting", 503, UNREACHABLE, AFTER, "The agent is still starting: it replays the ledger or waits for its slot.", "Try again in a few seconds; `ksefvault status` tells what it waits for.") \
X(UNFOUNDED, "agent.unfounded", 503, UNREACHABLE, WHEN_LIFTED, "This vault has not been founded yet.", "Found it: `ksefvault vault found --help`.") \
X(CLOCK_BEHIND, "agent.clock-behind", 503, UNREACHABLE, AFTER, "The clock is more than 10 s behind the last record; nothing is given until it has caught up.", "Correct the host's clock (NTP). Revoking, suspending and denying still work.") \
X(BUSY, "agent.busy", 503, LATER, AFTER, "Too many calls are under way.", "Try again after the time in Retry-After.") \
X(TIMEOUT, "agent.timeout", 504, LATER, AFTER, "A part of the agent did not answer within its deadline.", "Try again; `ksefvault status` tells which part is unwell.") \
X(PROTOCOL, "agent.protocol", 502, FAILED, NEVER, "A message between the agent's programs did not follow the protocol.", "Check that all installed programs are of one version.") \
X(CONFIG, "config.invalid", 500, USAGE, WHEN_LIFTED, "The configuration file is not valid.", "Correct the file, line and key that the message names.") \
X(USAGE, "input.usage", 400, USAGE, NEVER, "The command line is not understood.", "See --help of the command; it has examples.") \
X(INPUT_JSON, "input.json", 400, USAGE, NEVER, "The request body is not one valid JSON object.", "Send one JSON object in UTF-8, with each key once.") \
X(INPUT_FIELD, "input.field-unknown", 400, USAGE, NEVER, "The request has a field that this call does not know.", "Remove or correct the field that the message names.") \
X(INPUT_MISSING, "input.field-missing", 400, USAGE, NEVER, "A required field is missing.", "Add the field that the message names.") \
X(INPUT_TYPE, "input.type", 400, USAGE, NEVER, "A field has the wrong type.", "Send the field as the type that the message names.") \
X(INPUT_VALUE, "input.value", 400, USAGE, NEVER, "A value does not follow its grammar.", "Correct the value that the message names.") \
X(INPUT_NIP, "input.nip-checksum", 400, USAGE, NEVER, "The NIP's check digit is wrong.", "Compare the ten digits with the company's registration.") \
X(INPUT_TOO_LARGE, "input.too-large", 413, USAGE, NEVER, "The input is larger than this call accepts.", "Send less; the message names the limit.") \
X(INPUT_UTF8, "input.utf8", 400, USAGE, NEVER, "The input is not valid UTF-8.", "Encode it as UTF-8 without a byte order mark.") \
X(NOT_FOUND, "input.not-found", 404, FAILED, NEVER, "There is nothing under this name.", "Check the spelling; the matching `list` command shows what exists.") \
X(METHOD, "input.method", 405, USAGE, NEVER, "This path does not take this HTTP method.", "See docs/openapi.yaml for the calls.") \
X(MEDIA_TYPE, "input.media-type", 415, USAGE, NEVER, "The body is not declared as application/json.", "Send Content-Type: application/json.") \
X(INTERRUPTED, "input.interrupted", 400, FAILED, NEVER, "The command was interrupted.", "What was done stays done; the message says where to go on.") \
X(IDEMPOTENCY, "input.idempotency-key", 400, USAGE, NEVER, "A POST needs an Idempotency-Key header of 1 to 64 visible characters, not used before for another body.", "Send a fresh random key with each new request, the same one when repeating it.") \
X(LIMIT, "input.limit", 400, USAGE, NEVER, "A number, length or list is outside its limits.", "Use a value within the limits that the message names.") \
X(STMT_TRANSIT, "statement.changed-in-transit", 400, USAGE, NEVER, "The text was changed on its way: its bytes are not those that were made to be signed.", "Send the file itself as an attachment, not its text in a mail.") \
X(STMT_TOO_LONG, "statement.too-long", 400, USAGE, NEVER, "The text is longer than a statement may be.", "Split the request; the message names the limit.") \
X(STMT_LINE, "statement.line", 400, USAGE, NEVER, "A line is unknown, missing, duplicate or out of order.", "Let ksefvault make the text anew; do not edit it.") \
X(STMT_VALUE, "statement.value", 400, USAGE, NEVER, "A value in the text does not follow its grammar.", "Let ksefvault make the text anew with a correct value.") \
X(STMT_REQUEST, "statement.request-differs", 400, USAGE, NEVER, "The decision does not repeat the request as it was recorded.", "Sign the text that `ksefvault statement` prints.") \
X(SIG_BAD, "signature.bad", 400, REFUSED, NEVER, "The signature is not a good signature of this text.", "Sign exactly the file that you send, with the key that it names.") \
X(SIG_FORMAT, "signature.format", 400, USAGE, NEVER, "The signature is not an armoured OpenSSH signature of a kind that is accepted.", "Sign with ssh-keygen -Y sign and an ed25519, ecdsa-sha2-nistp256, rsa (2048 to 4096) or sk- key.") \
X(SIG_NAMESPACE, "signature.namespace", 400, REFUSED, NEVER, "The signature was made for another purpose.", "Sign with -n ksefvault-approval-v1.") \
X(SIG_KEY, "signature.key", 400, REFUSED, NEVER, "The signature was made by another key than the text names.", "Sign with the key whose fingerprint is in the text.") \
X(SIG_NO_TOUCH, "signature.no-touch", 400, REFUSED, NEVER, "The security key signed without a touch.", "Create the key without no-touch-required and sign again.") \
X(SIG_NO_PIN, "signature.no-pin", 400, REFUSED, NEVER, "The security key signed without its PIN.", "Create the key with -O verify-required and sign again.") \
X(APPR_NOT_OPEN, "approval.request-not-open", 409, REFUSED, NEVER, "The request is not open: it is decided, withdrawn or lapsed.", "`ksefvault request show ID` tells what happened; make a new request if it is still wanted.") \
X(APPR_POLICY, "approval.policy-changed", 409, REFUSED, NEVER, "Another policy is active than the one that the request was made under.", "Make the request again under the active policy.") \
X(APPR_TIME, "approval.time", 409, REFUSED, NEVER, "The text was not signed or handed in within its time.", "Compare the signer's clock; have the text made and signed again.") \
X(APPR_PERSON, "approval.person-unknown", 403, REFUSED, WHEN_LIFTED, "This person is not enrolled, or has left.", "Enrol the person first: `ksefvault person enrol --help`.") \
X(APPR_KEY, "approval.key-not-valid", 403, REFUSED, WHEN_LIFTED, "The key is not a valid approval key of this person.", "Sign with an enrolled key that is neither retired, compromised nor past its end.") \
X(APPR_DUTY, "approval.duty", 403, REFUSED, NEVER, "The person does not hold the duty that this act needs.", "Somebody with that duty must sign: `ksefvault person quorum`.") \
X(APPR_REQUESTER, "approval.requester", 403, REFUSED, NEVER, "Who requests may not approve the request.", "Another person with that duty must approve: `ksefvault person quorum`.") \
X(APPR_BENEFICIARY, "approval.beneficiary", 403, REFUSED, NEVER, "Who will use the access may not approve it.", "Another person with that duty must approve: `ksefvault person quorum`.") \
X(APPR_NONCE, "approval.nonce-used", 409, REFUSED, NEVER, "This text's nonce has been used before.", "Let ksefvault make a new text.") \
X(APPR_TWICE, "approval.person-twice", 409, REFUSED, NEVER, "This person has already decided on the request.", "Somebody else must give the missing decision.") \
X(APPR_CHECKPOINT, "approval.checkpoint-unknown", 409, REFUSED, NEVER, "The text names a state of the log that this log never had.", "Stop and tell an auditor: either the text is from another vault or this log was set back.") \
X(APPR_NO_QUORUM, "approval.no-quorum", 409, REFUSED, WHEN_LIFTED, "Nobody could complete the request.", "Let somebody else request it, or enrol a person with the missing duty: `ksefvault person quorum`.") \
X(ACT_ENTITLED, "act.not-entitled", 403, REFUSED, NEVER, "This person may not do this.", "The message names who may.") \
X(ACT_TARGET, "act.target", 409, REFUSED, NEVER, "What the act names does not exist or is not in a state that it could change.", "Check it with the matching `list` command.") \
X(ACT_LAST, "act.last-person", 409, REFUSED, WHEN_LIFTED, "No enabled person with a good key would remain in that duty.", "Enrol the successor first.") \
X(PERSON_KEY_PROOF, "person.key-not-proven", 400, REFUSED, NEVER, "The new key has not signed its own enrolment.", "Sign the same request text with the new key and send that signature along.") \
X(PERSON_KEY_USED, "person.key-in-use", 409, REFUSED, NEVER, "This public key is enrolled already.", "Use a key of that person alone.") \
X(PERSON_DUTIES, "person.two-duties", 409, REFUSED, NEVER, "One person may not hold finance and custodian duty.", "Enrol two persons.") \
X(PERSON_EXISTS, "person.exists", 409, REFUSED, NEVER, "A person with this id is enrolled already.", "Choose another id, or change the person: `ksefvault person change`.") \
X(FOUNDERS, "vault.too-few-founders", 400, REFUSED, NEVER, "Founding needs at least two finance people and two custodians.", "Name more founders; with --test one of each is enough.") \
X(FOUNDED, "vault.already-founded", 409, REFUSED, NEVER, "This vault has been founded already.", "`ksefvault status` shows it. A new vault needs a new name and an empty ledger.") \
X(REQ_EXISTS, "request.exists", 409, REFUSED, NEVER, "What the request would create exists already.", "Choose another id or change what exists.") \
X(REQ_NAME, "request.name-unknown", 409, REFUSED, WHEN_LIFTED, "The request names a person, credential, integration, slot or grant that does not exist or is not fit for it.", "Create or correct what the message names first.") \
X(REQ_LIMIT, "request.policy-limit", 409, REFUSED, WHEN_LIFTED, "The request exceeds a limit of the active policy.", "Ask for less, or propose another policy: `ksefvault policy propose`.") \
X(REQ_POLICY_TEXT, "request.policy-text", 400, REFUSED, NEVER, "The policy's sentences or ended grants are not those that follow from its text.", "Let `ksefvault policy propose` make the request.") \
X(REQ_CRED_SHARED, "request.credential-shared", 409, REFUSED, WHEN_LIFTED, "This credential serves another integration already.", "Create a credential for this integration, or end the other grant.") \
X(REQ_ACTION, "request.not-supported", 501, REFUSED, NEVER, "This version does not carry out requests of this kind.", "CHANGELOG.md tells what each version carries out.") \
X(REQ_CHANGED, "request.superseded", 409, REFUSED, NEVER, "What the request would change has been changed since.", "Make the request anew.") \
X(REQ_PENDING, "request.waiting", 202, WAITING, WHEN_LIFTED, "The request waits for approvals.", "`ksefvault request show ID` tells who may give them.") \
X(CALLER_UNKNOWN, "policy.caller-unknown", 403, REFUSED, WHEN_LIFTED, "No registered integration runs under this account.", "Register it: `ksefvault integration register --help`; finance and a custodian approve.") \
X(CALLER_UNIT, "policy.unit-differs", 403, REFUSED, WHEN_LIFTED, "The caller does not run in the registered systemd unit.", "Start the integration by its unit, or change the registration.") \
X(CALLER_EXE, "policy.exe-changed", 403, REFUSED, WHEN_LIFTED, "The integration's program is not the one that was approved.", "If the update is genuine: `ksefvault integration change ID --next-exe FILE`; if the program was put back: `ksefvault integration resume ID`. Finance and a custodian approve either.") \
X(CALLER_UNREAD, "policy.exe-unread", 503, LATER, AFTER, "The integration's program could not be compared with the approved one: it could not be read, or not in time.", "Try again after Retry-After, over a new connection. If it stays so, the program changes all the time, is larger than 512 MiB, or lies under a path of more than 255 characters.") \
X(INTEG_SUSPENDED, "policy.integration-suspended", 403, REFUSED, WHEN_LIFTED, "The integration is suspended.", "`ksefvault integration resume ID`; finance and a custodian approve.") \
X(NO_GRANT, "policy.no-grant", 403, REFUSED, WHEN_LIFTED, "No grant lets this integration do this.", "`ksefvault grant request --help`; finance and a custodian approve.") \
X(GRANT_CONTEXT, "policy.context-not-granted", 403, REFUSED, WHEN_LIFTED, "The integration's grants do not cover this context.", "Request a grant for this context; finance and a custodian approve.") \
X(GRANT_OPERATION, "policy.operation-not-granted", 403, REFUSED, WHEN_LIFTED, "The integration's grants do not cover this operation.", "Request a grant with this operation; finance and a custodian approve.") \
X(GRANT_EARLY, "policy.grant-not-yet", 403, REFUSED, AFTER, "The grant has not begun.", "Wait until its not-before.") \
X(GRANT_EXPIRED, "policy.grant-expired", 403, REFUSED, WHEN_LIFTED, "The grant has ended.", "`ksefvault grant request`; finance and a custodian approve.") \
X(GRANT_SUSPENDED, "policy.grant-suspended", 403, REFUSED, WHEN_LIFTED, "The grant is suspended.", "`ksefvault grant resume ID`; finance and a custodian approve.") \
X(GRANT_REVOKED, "policy.grant-revoked", 403, REFUSED, WHEN_LIFTED, "The grant was revoked.", "`ksefvault grant request`; finance and a custodian approve a new one.") \
X(GRANT_USES, "policy.max-uses", 403, REFUSED, WHEN_LIFTED, "The grant's number of uses is used up.", "`ksefvault grant request`; finance and a custodian approve a new one.") \
X(GRANT_RATE, "policy.rate", 429, LATER, AFTER, "The grant's rate is used up.", "Wait for the time in Retry-After.") \
X(GRANT_WAITING, "policy.grant-waiting", 403, WAITING, WHEN_LIFTED, "The grant waits for approvals.", "`ksefvault request list` tells what is missing.") \
X(CRED_STATE, "policy.credential-not-ready", 403, REFUSED, WHEN_LIFTED, "The credential is not usable: it has no certificate yet, is expired or revoked.", "`ksefvault credential list` tells; for KSeF TEST, root gives it a certificate: `ksefvault credential self-sign --help`.") \
X(CERT_EXPIRED, "policy.certificate-expired", 403, REFUSED, WHEN_LIFTED, "The credential's certificate is not valid at this time.", "Create a credential with a new certificate; finance and a custodian approve.") \
X(CRED_PURPOSE, "policy.credential-purpose", 403, REFUSED, WHEN_LIFTED, "The credential is of another kind than the operation needs: an authentication certificate logs in, an Offline certificate signs codes, and neither does the other's work.", "Ask for a grant with a credential of the right kind: `ksefvault credential list` shows the kinds.") \
X(CUSTODY, "policy.custody-minimum", 403, REFUSED, WHEN_LIFTED, "The slot protects keys less well than the policy demands.", "Use a hardware slot; `ksefvault slot check` says why its custody is no better (of a TPM: `tpm-roots`); for trying out, found with --test a vault whose name begins with test- and whose policy has custody-minimum: software.") \
X(NOT_ALLOWED, "policy.not-allowed", 403, REFUSED, NEVER, "This account may not make this call.", "The message names who may.") \
X(POLICY_TEXT, "policy.text", 400, USAGE, NEVER, "The policy text is not valid.", "Correct the line and key that the message names; `ksefvault policy check FILE`.") \
X(PIN_OPEN, "pin.open-to-others", 503, FAILED, WHEN_LIFTED, "The file with the slot's PIN belongs to another account, or others may read it; it is not used.", "chown it to root, chmod it to 0400; the agent tries again by itself. If others could read it, change the PIN.") \
X(PIN_MISSING, "pin.file-missing", 503, FAILED, WHEN_LIFTED, "The file with the slot's PIN is not there, or cannot be opened.", "Put it where the configuration says (sealed: `ksefvault slot seal-pin NAME`); the agent tries again by itself. Meanwhile, `ksefvault slot unlock NAME --prompt`.") \
X(PIN_CREDENTIAL, "pin.credential-missing", 503, FAILED, WHEN_LIFTED, "The unit was not given the systemd credential with the slot's PIN.", "Put LoadCredential= or LoadCredentialEncrypted= with that name into the unit and restart it. Meanwhile, `ksefvault slot unlock NAME --prompt`.") \
X(PIN_AWAITED, "pin.awaited", 503, WAITING, WHEN_LIFTED, "The slot waits for its PIN, which is entered by hand.", "`ksefvault slot unlock NAME --prompt`, as root.") \
X(PIN_TPM, "pin.tpm-absent", 503, FAILED, WHEN_LIFTED, "The TPM that opens the slot's PIN does not answer.", "Check pin-tpm, the device, and that the keeper's account may open it (group tss); the agent tries again by itself. Meanwhile, `ksefvault slot unlock NAME --prompt`.") \
X(PIN_FOREIGN, "pin.foreign-tpm", 503, FAILED, WHEN_LIFTED, "The slot's PIN is sealed in another TPM, or this one was cleared since.", "Seal it again in this TPM: `ksefvault slot seal-pin NAME --replace`. Meanwhile, `ksefvault slot unlock NAME --prompt`.") \
X(PIN_OTHER, "pin.other-slot", 503, FAILED, WHEN_LIFTED, "The slot's PIN is sealed for another slot, or under another authority.", "Put the slot's own file back, or seal the PIN again: `ksefvault slot seal-pin NAME --replace`. Meanwhile, `ksefvault slot unlock NAME --prompt`.") \
X(PIN_DAMAGED, "pin.damaged", 503, FAILED, WHEN_LIFTED, "The file with the sealed PIN is cut short or was changed.", "Restore it, or seal the PIN again: `ksefvault slot seal-pin NAME --replace`. Meanwhile, `ksefvault slot unlock NAME --prompt`.") \
X(PIN_PCRS, "pin.pcrs-not-approved", 503, FAILED, WHEN_LIFTED, "The machine was booted into a state (its PCRs) that the authority has not approved.", "If that is no surprise, as after an update: `ksefvault slot approve-pcrs NAME`, and let the authority sign. Meanwhile, `ksefvault slot unlock NAME --prompt`.") \
X(PIN_APPROVAL, "pin.approval-bad", 503, FAILED, WHEN_LIFTED, "An approval of the machine's PCRs is not signed by the slot's authority.", "Sign with the authority's key the file that `ksefvault slot approve-pcrs NAME` writes. Meanwhile, `ksefvault slot unlock NAME --prompt`.") \
X(PIN_EXISTS, "pin.exists", 409, FAILED, NEVER, "There is a sealed PIN already; nothing was changed.", "To put another in its place: `ksefvault slot seal-pin NAME --replace`.") \
X(TOKEN, "token.failed", 502, FAILED, AFTER, "The token or TPM failed.", "Read the cause in the message; `ksefvault slot check` tests the slot.") \
X(TOKEN_ABSENT, "token.absent", 503, LATER, AFTER, "The token or TPM is not present, or was reset.", "Insert or reconnect it, or initialise a new one (`ksefvault slot init`); of a TPM, check that the keeper's account may open the device (group tss). The agent finds it again by itself.") \
X(TOKEN_PIN, "token.pin-wrong", 403, REFUSED, WHEN_LIFTED, "The token refused the PIN. It is not tried again.", "Correct the PIN where the configuration says it comes from, then `ksefvault slot unlock NAME`; or enter it, with `--prompt`.") \
X(TOKEN_PIN_LOW, "token.pin-low", 403, REFUSED, WHEN_LIFTED, "The token reports failed PIN attempts; the agent does not use up the rest.", "Make sure that the configured PIN is right, then `ksefvault slot unlock NAME` for one try; if only one is left, log in with the vendor's tool first.") \
X(TOKEN_PIN_LOCKED, "token.pin-locked", 403, REFUSED, WHEN_LIFTED, "The token's PIN is locked.", "The security officer unlocks it with the vendor's tool; then `ksefvault slot unlock NAME`.") \
X(TOKEN_LATCHED, "token.latched", 503, REFUSED, WHEN_LIFTED, "The slot is latched after a refused PIN.", "Correct the PIN where the configuration says it comes from, then `ksefvault slot unlock NAME`; or enter it, with `--prompt`.") \
X(TOKEN_NO_PIN, "token.no-pin", 503, REFUSED, WHEN_LIFTED, "No PIN is available for the slot.", "Provide the PIN where the configuration says it comes from, then `ksefvault slot unlock NAME`; or enter it, with `--prompt`.") \
X(TOKEN_IN_USE, "token.in-use", 409, FAILED, AFTER, "Another process uses this slot.", "Stop the agent first, or use another slot.") \
X(TOKEN_MODULE, "token.module", 500, USAGE, WHEN_LIFTED, "The PKCS#11 module cannot be loaded or is not the one that was recorded.", "Check the path and SHA-256 of the module in the configuration.") \
X(TOKEN_MECHANISM, "token.mechanism", 501, FAILED, NEVER, "The token lacks a mechanism or refuses an attribute that is needed.", "`ksefvault slot check` names what is missing; use another token.") \
X(TOKEN_KEY_MISSING, "token.key-missing", 500, FAILED, WHEN_LIFTED, "The key is not on the token.", "Check that the right token is present: `ksefvault slot list`.") \
X(TOKEN_KEY_WEAK, "token.key-weak", 409, REFUSED, WHEN_LIFTED, "A key of this name on the token can be taken out of it; the agent does not use it.", "Destroy that key with the vendor's tool, then let the agent make it.") \
X(TOKEN_KEY_EXISTS, "token.key-exists", 409, REFUSED, NEVER, "A key of this name is on the token already.", "Choose another name; keys are never overwritten.") \
X(TOKEN_INITIALISED, "token.initialised", 409, REFUSED, NEVER, "The token is initialised already; nothing was changed.", "Use it as it is, or initialise another one.") \
X(TOKEN_WRAPPED, "token.wrapped-secret", 500, FAILED, WHEN_LIFTED, "A wrapped secret could not be opened: it was changed, or is for something else.", "Restore the folder keeper/wrapped from a backup, or bring the token in under another name: `ksefvault credential import --help`.") \
X(TOKEN_KEY_DAMAGED, "token.key-damaged", 500, FAILED, WHEN_LIFTED, "The file of a TPM's key was changed, cut short or put in another's place; the TPM does not take it.", "Restore the slot's folder under keeper/tpm from a backup of this host; a key of another TPM cannot be brought in.") \
X(TOKEN_FOREIGN, "token.foreign", 503, FAILED, WHEN_LIFTED, "The TPM is not the one that the slot's keys were made in, or it was cleared since.", "Put the right TPM back; the agent goes on by itself. Keys of a cleared or lost TPM are lost for good: set up another slot (`ksefvault slot init`) and make new credentials in it.") \
X(TOKEN_OWNER, "token.owner-auth", 503, FAILED, WHEN_LIFTED, "The TPM's owner hierarchy has a password or is off, and the TPM keeps no storage key at 0x81000001, or one with a password.", "Let the TPM's owner make the standard storage key persistent (tpm2_createprimary -C o -G ecc, tpm2_evictcontrol 0x81000001), or clear the owner's password; the agent goes on by itself.") \
X(TOKEN_LOCKOUT, "token.lockout", 503, LATER, AFTER, "The TPM is in lockout after wrong passwords, of whichever program.", "Wait for its recovery time, or let who holds the lockout password reset it (tpm2_dictionarylockout -c); the agent goes on by itself.") \
X(TOKEN_TIMEOUT, "token.timeout", 504, LATER, AFTER, "The token or TPM did not answer within its deadline.", "Check the device and its connection; the agent starts it again.") \
X(LEDGER_SAFE, "ledger.safe-mode", 503, UNREACHABLE, WHEN_LIFTED, "The ledger is damaged; the agent only verifies and exports.", "`ksefvault ledger verify` names the first bad place; see docs/operations.md.") \
X(LEDGER_COVER, "ledger.not-covered", 503, LATER, AFTER, "What this rests on is not under a signed checkpoint yet.", "Try again in a second.") \
X(LEDGER_SIGNER, "ledger.signer-down", 503, LATER, AFTER, "The ledger's signing key does not answer; nothing is given until it does.", "Bring the slot back (`ksefvault status`). Signed texts stay good and can be handed in again; revoking works meanwhile.") \
X(LEDGER_DISK, "ledger.disk-low", 507, LATER, AFTER, "Too little disk space is left to record what would be given.", "Free space below the ledger folder. Revoking and closing still work.") \
X(LEDGER_WRITE, "ledger.write-failed", 500, FAILED, AFTER, "The ledger could not be written.", "Check the disk; the agent restarts and recovers.") \
X(LEDGER_RECORD, "ledger.record", 500, FAILED, NEVER, "A record is damaged or does not follow the format.", "`ksefvault ledger verify` names it.") \
X(LEDGER_NOTE, "ledger.note", 500, FAILED, NEVER, "A signed note or checkpoint is not valid.", "Compare the log key with the founding papers.") \
X(LEDGER_PROOF, "ledger.proof", 500, FAILED, NEVER, "A proof does not lead to the root.", "Get the record and its proof again; if it stays so, tell an auditor.") \
X(LEDGER_BLOB, "ledger.blob", 500, FAILED, NEVER, "A file that a record names is missing or changed.", "`ksefvault ledger verify` names it; restore it from a backup.") \
X(LEDGER_EVIDENCE, "ledger.evidence", 500, FAILED, NEVER, "What a TPM certified of a key is not of that key and credential, or was changed.", "`ksefvault ledger verify` names the record; tell an auditor. Of a new key: `ksefvault slot check` tests the slot.") \
X(LEDGER_ILLEGAL, "ledger.illegal", 500, FAILED, NEVER, "A record is not one that the rules would have accepted.", "`ksefvault ledger verify` names it; tell an auditor.") \
X(LEDGER_NOT_APPROVED, "ledger.not-approved", 500, FAILED, NEVER, "A record gives something that was not approved by the people it needs.", "`ksefvault ledger verify` names it; tell an auditor.") \
X(LEDGER_NEWER, "ledger.newer-version", 503, UNREACHABLE, NEVER, "The ledger was written by a newer version.", "Install that version; this one only reads.") \
X(LEDGER_LOCKED, "ledger.locked", 409, FAILED, AFTER, "Another agent uses this ledger.", "Stop the other agent.") \
X(CODE_LINK, "code.link", 400, USAGE, NEVER, "This is not a link of a KSeF QR code.", "Give the whole link, as the QR code holds it, in quotes.") \
X(CODE_CERTIFICATE, "code.certificate", 400, FAILED, NEVER, "The code was not issued under this certificate.", "Give the Offline certificate whose serial number stands in the link.") \
X(CODE_SIGNATURE, "code.signature", 400, FAILED, NEVER, "The code's signature is not good.", "The code was changed, or made with another key: do not accept the invoice on its strength.") \
X(KSEF_UNREACHABLE, "ksef.unreachable", 502, LATER, AFTER, "KSeF could not be reached.", "Check network, proxy and CA file; `ksefvault status`.") \
X(KSEF_PROXY, "ksef.proxy", 502, FAILED, WHEN_LIFTED, "The proxy does not let us through to KSeF.", "Check `proxy` and `proxy-credentials` in the configuration; the message has the proxy's answer.") \
X(KSEF_TLS, "ksef.tls", 502, FAILED, WHEN_LIFTED, "The connection to KSeF is not trusted.", "Check the CA file and host name in the configuration; never switch verification off.") \
X(KSEF_BUSY, "ksef.busy", 503, LATER, AFTER, "The login at KSeF is still under way.", "Repeat the call with the same Idempotency-Key after Retry-After.") \
X(KSEF_RATE, "ksef.rate-limited", 503, LATER, AFTER, "KSeF limits the rate of calls.", "Wait for the time in Retry-After.") \
X(KSEF_ANSWER, "ksef.answer", 502, LATER, AFTER, "KSeF's answer was not understood.", "Try again; if it stays so, a firewall or proxy may answer in KSeF's place.") \
X(KSEF_REJECTED, "ksef.rejected", 502, FAILED, WHEN_LIFTED, "KSeF refused the request.", "The message has KSeF's code and text.") \
X(KSEF_SIGNATURE, "ksef.signature-rejected", 502, FAILED, WHEN_LIFTED, "KSeF refused the signature or certificate of the login.", "Check that the certificate is of this environment and valid.") \
X(KSEF_CHALLENGE, "ksef.challenge", 502, LATER, AFTER, "KSeF refused the challenge of the login.", "Try again.") \
X(KSEF_PERMISSION, "ksef.no-permission", 403, REFUSED, WHEN_LIFTED, "The credential has no permission at KSeF in this context.", "Grant it there, or use the context in which it has.") \
X(KSEF_CERT, "ksef.certificate", 403, REFUSED, WHEN_LIFTED, "KSeF says the certificate is invalid, revoked or untrusted.", "Check it at KSeF; create a credential with a new certificate.") \
X(KSEF_TOKEN, "ksef.token", 403, REFUSED, WHEN_LIFTED, "KSeF refuses the token.", "Check it at KSeF; use a credential with a certificate instead.") \
X(KSEF_KEY, "ksef.public-key", 502, FAILED, AFTER, "KSeF's public key for tokens is missing, not accepted, or came without announcement.", "Compare the key with the ministry's own announcement before more tokens are encrypted to it; a login by certificate does not need it.") \
X(KSEF_BLOCKED, "ksef.blocked", 403, REFUSED, WHEN_LIFTED, "KSeF has blocked this context after a suspected incident.", "Stop and call the ministry's help line.") \
X(KSEF_REVOKED, "ksef.login-revoked", 403, REFUSED, WHEN_LIFTED, "The login was revoked at KSeF by a user.", "Find out who revoked it and why before another session is opened.") \
X(KSEF_IDENTITY, "ksef.identity", 403, REFUSED, WHEN_LIFTED, "KSeF says that the credential belongs to a deceased person.", "Use a credential of the company or of another person.") \
X(KSEF_AUTH, "ksef.unauthorised", 502, FAILED, AFTER, "KSeF no longer accepts the session.", "Open a new session.") \
X(KSEF_SERVER, "ksef.server-error", 502, LATER, AFTER, "KSeF reports an error of its own.", "Try again later.") \
X(ALARM_EXE, "alarm.exe-changed", 403, REFUSED, WHEN_LIFTED, "A registered integration's program was changed.", "`ksefvault explain policy.exe-changed` tells what to do.") \
X(ALARM_COMPROMISED, "key.compromised", 403, REFUSED, WHEN_LIFTED, "A key that approved this was declared compromised.", "Review it; `resume` with two good signatures lifts it.")
/* clang-format on */

#endif
