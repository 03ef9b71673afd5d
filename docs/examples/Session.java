// One KSeF session from the agent, as an ERP in Java 17 or later gets it; no libraries.
//   java Session.java Nip:5265877635 [SOCKET]
import java.io.IOException;
import java.net.StandardProtocolFamily;
import java.net.UnixDomainSocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.SocketChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.UUID;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

public final class Session {
    record Answer(int status, String head, String body) {
        /** A member of a flat object; use your JSON library in earnest. */
        String member(String name) {
            Matcher m = Pattern.compile("\"" + name + "\":\"?((?:[^\",}\\\\]|\\\\.)*)").matcher(body);
            return m.find() ? m.group(1) : "";
        }

        int retryAfter() {
            Matcher m = Pattern.compile("(?i)\r\nretry-after: *(\\d+)").matcher(head);
            return m.find() ? Integer.parseInt(m.group(1)) : 1;
        }
    }

    private final Path socket;

    Session(Path socket) {
        this.socket = socket;
    }

    /** java.net.http has no Unix sockets: HTTP/1.1 by hand, one connection for one call. */
    Answer call(String method, String path, String body, String key) throws IOException {
        byte[] content = body.getBytes(StandardCharsets.UTF_8);
        String head = method + " " + path + " HTTP/1.1\r\nHost: agent\r\nConnection: close\r\n"
                + "Content-Type: application/json\r\nContent-Length: " + content.length + "\r\n"
                + (key == null ? "" : "Idempotency-Key: " + key + "\r\n") + "\r\n";
        try (SocketChannel channel = SocketChannel.open(StandardProtocolFamily.UNIX)) {
            channel.connect(UnixDomainSocketAddress.of(socket));
            ByteBuffer out = ByteBuffer.wrap((head + body).getBytes(StandardCharsets.UTF_8));
            while (out.hasRemaining()) {
                channel.write(out);
            }
            ByteBuffer in = ByteBuffer.allocate(1 << 18);
            while (channel.read(in) >= 0 && in.hasRemaining()) { }
            String text = new String(in.array(), 0, in.position(), StandardCharsets.UTF_8);
            int end = text.indexOf("\r\n\r\n");
            if (end < 0) {
                throw new IOException("the agent hung up");
            }
            return new Answer(Integer.parseInt(text.substring(9, 12)), text.substring(0, end + 2), text.substring(end + 4));
        }
    }

    Answer open(String context, int patienceSeconds) throws InterruptedException {
        String key = UUID.randomUUID().toString(); // the same for every try: no second login
        long until = System.nanoTime() + patienceSeconds * 1_000_000_000L;
        while (true) {
            int wait = 1;
            try {
                Answer answer = call("POST", "/v1/sessions", "{\"context\":\"" + context + "\"}", key);
                if (answer.status() == 201) {
                    return answer;
                }
                if (!answer.member("retry").equals("after")) {
                    throw new IllegalStateException(answer.member("code") + ": " + answer.member("detail"));
                }
                wait = answer.retryAfter();
            } catch (IOException e) {
                // not running, or restarting
            }
            if (System.nanoTime() + wait * 1_000_000_000L > until) {
                throw new IllegalStateException("the KSeF agent gives no session");
            }
            Thread.sleep(wait * 1000L);
        }
    }

    public static void main(String[] args) throws Exception {
        Session agent = new Session(Path.of(args.length > 1 ? args[1] : "/run/ksefvault/agent.sock"));
        Answer lease = agent.open(args[0], 120);
        System.out.println("{\"session\":\"" + lease.member("session") + "\",\"validUntil\":\"" + lease.member("validUntil") + "\"}");
        // … calls to KSeF with "Authorization: Bearer " + lease.member("accessToken") …
        agent.call("DELETE", "/v1/sessions/" + lease.member("session"), "", null);
    }
}
