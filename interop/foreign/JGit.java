// JGit as a client: clone URL FOLDER, push FOLDER URL.
import java.io.File;
import org.eclipse.jgit.api.Git;
import org.eclipse.jgit.transport.RefSpec;
import org.eclipse.jgit.transport.RemoteRefUpdate;

public class JGit {
    public static void main(String[] args) throws Exception {
        if (args[0].equals("clone")) {
            Git.cloneRepository().setURI(args[1]).setDirectory(new File(args[2])).call().close();
            return;
        }
        try (Git git = Git.open(new File(args[1]))) {
            var main = new RefSpec("refs/heads/main:refs/heads/main");
            for (var result : git.push().setRemote(args[2]).setRefSpecs(main).call())
                for (RemoteRefUpdate update : result.getRemoteUpdates())
                    if (update.getStatus() != RemoteRefUpdate.Status.OK
                            && update.getStatus() != RemoteRefUpdate.Status.UP_TO_DATE) {
                        System.err.println(update.getStatus() + " " + update.getMessage());
                        System.exit(1);
                    }
        }
    }
}
