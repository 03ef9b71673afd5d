// One KSeF session from the agent, as an ERP in C# (.NET 8) gets it. Not run by our tests.
//   dotnet run -- Nip:5265877635 [SOCKET]
using System.Net.Http.Json;
using System.Net.Sockets;
using System.Text.Json;

var path = args.Length > 1 ? args[1] : "/run/ksefvault/agent.sock";
using var http = new HttpClient(new SocketsHttpHandler {
    ConnectCallback = async (_, cancel) => {
        var socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        await socket.ConnectAsync(new UnixDomainSocketEndPoint(path), cancel);
        return new NetworkStream(socket, ownsSocket: true);
    }
}) { BaseAddress = new Uri("http://agent"), Timeout = TimeSpan.FromSeconds(45) };

async Task<JsonElement> Session(string context, TimeSpan patience) {
    var key = Guid.NewGuid().ToString(); // the same for every try, so that no second login is made
    var until = DateTime.UtcNow + patience;
    while (true) {
        var wait = TimeSpan.FromSeconds(1);
        try {
            using var request = new HttpRequestMessage(HttpMethod.Post, "/v1/sessions") { Content = JsonContent.Create(new { context }) };
            request.Headers.Add("Idempotency-Key", key);
            using var answer = await http.SendAsync(request);
            var body = await answer.Content.ReadFromJsonAsync<JsonElement>();
            if ((int)answer.StatusCode == 201) return body;
            if (body.GetProperty("retry").GetString() != "after")
                throw new UnauthorizedAccessException($"{body.GetProperty("code")}: {body.GetProperty("detail")}");
            wait = answer.Headers.RetryAfter?.Delta ?? wait;
        } catch (HttpRequestException) { } // not running, or restarting
        if (DateTime.UtcNow + wait > until) throw new TimeoutException("the KSeF agent gives no session");
        await Task.Delay(wait);
    }
}

var lease = await Session(args[0], TimeSpan.FromSeconds(120));
Console.WriteLine($"{lease.GetProperty("session")} until {lease.GetProperty("validUntil")}");
// … calls to KSeF with "Authorization: Bearer " + lease.GetProperty("accessToken") …
await http.DeleteAsync($"/v1/sessions/{lease.GetProperty("session")}");
