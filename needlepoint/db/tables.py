"""Every table of the product, gathered for migrations."""

from needlepoint.channels.telegram import models as telegram
from needlepoint.conversations import models as conversations
from needlepoint.conversations import review_models as reviews
from needlepoint.db.base import Base
from needlepoint.faq import models as faq
from needlepoint.staff import models as staff

__all__ = ["Base", "conversations", "faq", "reviews", "staff", "telegram"]
