// One KSeF session from the agent, as an ERP in C# gets it. Plain enough for .NET 5 and later, and for Mono:
//   dotnet run -- Nip:5265877635 [SOCKET]
//   mcs -r:System.Runtime.Serialization Session.cs && mono Session.exe Nip:5265877635 [SOCKET]
using System;
using System.IO;
using System.Linq;
using System.Net.Sockets;
using System.Runtime.Serialization.Json;
using System.Text;
using System.Threading;

// What the agent answers: a lease, or a problem (RFC 9457).
public class Answer {
    public string session, accessToken, validUntil;
    public string code, detail, next, retry;
    [System.Runtime.Serialization.IgnoreDataMember] public int Status, RetryAfter = 1;
}

public static class Program {
    static string path = "/run/ksefvault/agent.sock";

    // One call, one connection: the socket's file is the address, so there is no host and no TLS.
    static Answer Call(string method, string target, string key, string body) {
        using (var socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified)) {
            socket.ReceiveTimeout = 45000; // the agent answers within 40 seconds
            socket.Connect(new UnixDomainSocketEndPoint(path));
            var content = Encoding.UTF8.GetBytes(body);
            var head = method + " " + target + " HTTP/1.1\r\nHost: agent\r\nConnection: close\r\n" +
                (key == null ? "" : "Idempotency-Key: " + key + "\r\nContent-Type: application/json\r\n" +
                                    "Content-Length: " + content.Length + "\r\n") + "\r\n";
            using (var stream = new NetworkStream(socket))
            using (var all = new MemoryStream()) {
                stream.Write(Encoding.ASCII.GetBytes(head), 0, head.Length);
                stream.Write(content, 0, content.Length);
                stream.CopyTo(all);
                return Read(Encoding.UTF8.GetString(all.ToArray()));
            }
        }
    }

    static Answer Read(string response) {
        var end = response.IndexOf("\r\n\r\n", StringComparison.Ordinal);
        if (end < 0) throw new IOException("the agent hung up");
        var lines = response.Substring(0, end).Split(new[] { "\r\n" }, StringSplitOptions.None);
        var json = new MemoryStream(Encoding.UTF8.GetBytes(response.Substring(end + 4)));
        var answer = (Answer)new DataContractJsonSerializer(typeof(Answer)).ReadObject(json);
        answer.Status = int.Parse(lines[0].Split(' ')[1]);
        var wait = lines.FirstOrDefault(l => l.StartsWith("Retry-After:", StringComparison.OrdinalIgnoreCase));
        if (wait != null) answer.RetryAfter = int.Parse(wait.Substring("Retry-After:".Length));
        return answer;
    }

    static Answer Session(string context, TimeSpan patience) {
        var key = Guid.NewGuid().ToString(); // the same for every try, so that no second login is made
        var until = DateTime.UtcNow + patience;
        while (true) {
            var wait = TimeSpan.FromSeconds(1);
            try {
                var answer = Call("POST", "/v1/sessions", key, "{\"context\":\"" + context + "\"}");
                if (answer.Status == 201) return answer;
                if (answer.retry != "after")
                    throw new UnauthorizedAccessException(answer.code + ": " + answer.detail + "\nnext: " + answer.next);
                wait = TimeSpan.FromSeconds(answer.RetryAfter);
            } catch (SocketException) { // not running, or restarting
            } catch (IOException) { }
            if (DateTime.UtcNow + wait > until) throw new TimeoutException("the KSeF agent gives no session");
            Thread.Sleep(wait);
        }
    }

    public static int Main(string[] args) {
        if (args.Length > 1) path = args[1];
        try {
            var lease = Session(args[0], TimeSpan.FromSeconds(120));
            Console.WriteLine("{\"session\":\"" + lease.session + "\",\"validUntil\":\"" + lease.validUntil + "\"}");
            // … calls to KSeF with "Authorization: Bearer " + lease.accessToken …
            Call("DELETE", "/v1/sessions/" + lease.session, null, "");
            return 0;
        } catch (UnauthorizedAccessException refused) {
            Console.Error.WriteLine(refused.Message);
            return 1;
        }
    }
}
