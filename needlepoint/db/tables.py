"""Every table of the product, gathered for migrations."""

from needlepoint.backup import models as backup
from needlepoint.channels.telegram import models as telegram
from needlepoint.conversations import models as conversations
from needlepoint.conversations import review_models as reviews
from needlepoint.db.base import Base
from needlepoint.faq import models as faq
from needlepoint.staff import models as staff

__all__ = ["Base", "backup", "conversations", "faq", "reviews", "staff", "telegram"]
