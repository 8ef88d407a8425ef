import java.io.IOException;
import java.net.StandardProtocolFamily;
import java.net.UnixDomainSocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.ServerSocketChannel;
import java.nio.channels.SocketChannel;

/** Answers each connection with the wall clock in ms and the monotonic clock in ns. */
class Clocks {
    public static void main(String[] args) throws Exception {
        try (var server = ServerSocketChannel.open(StandardProtocolFamily.UNIX)) {
            server.bind(UnixDomainSocketAddress.of(args[0]));
            while (true) {
                try (SocketChannel client = server.accept()) {
                    String text = System.currentTimeMillis() + " " + System.nanoTime() + "\n";
                    client.write(ByteBuffer.wrap(text.getBytes()));
                } catch (IOException gone) {
                    // It did not wait for the answer.
                }
            }
        }
    }
}
